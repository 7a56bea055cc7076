"""Metrics of scores alone, as tests ask for them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float64
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.measures.bootstrap import Interval
from trustmia.measures.metrics import RANKINGS, THRESHOLDS, realised
from trustmia.measures.table import judge as judged

METRICS = [key for key in RANKINGS if not key.endswith(realised(""))]
FPRS = {
    "tpr_at_5pct_fpr": 0.05,
    "tpr_at_1pct_fpr": 0.01,
    "tpr_at_0.1pct_fpr": 0.001,
    "tpr_at_0.01pct_fpr": 0.0001,
}


@dataclass(frozen=True)
class Judgement:
    """How well scores rank members before held-out images, and whom else they call members."""

    metrics: dict[str, float | None]
    realised: dict[str, float | None]
    intervals: dict[str, Interval | None]
    rates: dict[str, dict[str, float | None]]
    rate_intervals: dict[str, dict[str, Interval | None]]


def judge(
    scores: Float64, member: Bool, sets: Mapping[str, Float64], resamples: int, seed: int
) -> Judgement:
    """Judge scores, float64 [N]; `sets` are those of further non-members."""
    groups = {MEMBERS: scores[member], HELD_OUT: scores[~member], **sets}
    rows = {(row.set, row.metric): row for row in judged(groups, HELD_OUT, resamples, seed)}
    both = {
        key: None if row.low is None or row.high is None else (row.low, row.high)
        for key, row in rows.items()
    }
    names = [HELD_OUT, *sets]
    return Judgement(
        {key: rows[HELD_OUT, key].value for key in METRICS},
        {key: rows[HELD_OUT, realised(key)].value for key in FPRS},
        {key: both[HELD_OUT, key] for key in METRICS},
        {point: {name: rows[name, point].value for name in names} for point in THRESHOLDS},
        {point: {name: both[name, point] for name in names} for point in THRESHOLDS},
    )


def ranking_metrics(scores: Float64, member: Bool) -> dict[str, float | None]:
    """Return the metrics of scores alone."""
    return judge(scores, member, {}, 0, 0).metrics


def rate_by_hand(
    scores: Float64, member: Bool, others: Float64, limit: float, grid: Float64
) -> float | None:
    """Return the rate at the lowest threshold of a grid that keeps the FPR within a limit."""
    for threshold in np.unique(grid):
        if (scores[~member] >= threshold).mean() <= limit:
            return float((others >= threshold).mean())
    return None
