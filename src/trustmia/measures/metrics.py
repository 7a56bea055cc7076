"""Registry of metrics: each defined once, as a function that serves value and bootstrap alike.

A new metric is one row. It then is in `metrics/results.csv` and in an audit's `metrics.json`; a row
with `shown` is in the tables for people, too: of decisions a table of its own in
`trustmia results`, README and audits, and a column of the report's table of image sets; of rankings
a column of the tables of rankings there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np

from trustmia.arrays import Float64
from trustmia.measures.evidence import Decided, Ranking
from trustmia.measures.roc import area_under

Evidence = TypeVar("Evidence")
Counted = Literal["members", "set", "both"]
# What begins the key of a metric of the paper's tables that has the name of a ranking's.
PAPER = "paper_"
NO_DECISIONS = "No attack of this run makes decisions of its own."
# The ranking's metric that short summaries name, and the one by which sets are compared.
STRICT, TRANSFER = "tpr_at_1pct_fpr", "fpr_at_5pct"


@dataclass(frozen=True)
class Metric(Generic[Evidence]):
    """A metric of an attack on one non-member set.

    Attributes:
        title: Name for people.
        definition: What it is, in a sentence.
        value: float64 [B] of evidence of B resamples; NaN where it cannot be had.
        counts: Which images it rests on.
        interval: Whether it has a bootstrap interval.
        shown: Whether tables for people show it.
        heading: Its name in narrow tables; empty for the title.
    """

    title: str
    definition: str
    value: Callable[[Evidence], Float64]
    counts: Counted = "both"
    interval: bool = True
    shown: bool = False
    heading: str = ""


def _recall(decided: Decided) -> Float64:
    return decided.true_positives / decided.members


def _fpr(decided: Decided) -> Float64:
    return decided.false_positives / decided.nonmembers


def _precision(decided: Decided) -> Float64:
    return decided.true_positives / np.maximum(decided.true_positives + decided.false_positives, 1)


def _accuracy(decided: Decided) -> Float64:
    right = decided.true_positives + decided.nonmembers - decided.false_positives
    return right / (decided.members + decided.nonmembers)


def _aupr(decided: Decided) -> Float64:
    """Return the area under the precision-recall curve that the ROC curve implies.

    The curve of scikit-learn's `precision_recall_curve` has the same points: one per
    distinct score, and (recall 0, precision 1).
    """
    true_positives = decided.tpr[:, 1:] * decided.members
    called = true_positives + decided.fpr[:, 1:] * decided.nonmembers
    one = np.ones_like(decided.tpr)
    np.divide(true_positives, called, out=one[:, 1:], where=called > 0)
    return area_under(one, decided.tpr)


def _fpr_at_95tpr(decided: Decided) -> Float64:
    first = (decided.tpr >= 0.95).argmax(axis=1)[:, None]
    return np.take_along_axis(decided.fpr, first, axis=1)[:, 0]


def _mmps(key: str, who: str, counts: Counted) -> Metric[Decided]:
    return Metric(
        f"MMPS of {who}",
        f"Mean maximum prediction score of the {who}, 0 where there are none.",
        lambda decided: np.array([decided.mean_max[key]]),
        counts,
        interval=False,
    )


# Of the decisions that an attack learned, and of the float32 scores that it decided on.
DECISIONS: dict[str, Metric[Decided]] = {
    "fpr": Metric(
        "FPR", "Share of the set's images that are called members.", _fpr, "set", shown=True
    ),
    "precision": Metric(
        "precision",
        "Share of members among the images called members, 0 where none are.",
        _precision,
        shown=True,
        heading="Prec.",
    ),
    f"{PAPER}auroc": Metric(
        "AUROC",
        "Area under the ROC curve of the float32 scores that were decided on, as in the paper.",
        lambda decided: area_under(decided.tpr, decided.fpr),
        shown=True,
    ),
    "recall": Metric("recall", "Share of members called members.", _recall, "members"),
    "advantage": Metric(
        "advantage", "Recall − FPR.", lambda decided: _recall(decided) - _fpr(decided)
    ),
    "tpr": Metric("TPR", "The recall, by its other name.", _recall, "members", interval=False),
    "accuracy": Metric(
        "accuracy",
        "Share of right decisions, members and the set's images taken together.",
        _accuracy,
        interval=False,
    ),
    f"{PAPER}aupr": Metric(
        "AUPR", "Area under the precision-recall curve of these scores.", _aupr, interval=False
    ),
    f"{PAPER}fpr_at_95tpr": Metric(
        "FPR at 95% TPR",
        "FPR at the first point of these scores' ROC curve with a TPR of at least 0.95.",
        _fpr_at_95tpr,
        interval=False,
    ),
    "tp_mmps": _mmps("tp", "true positives", "members"),
    "fp_mmps": _mmps("fp", "false positives", "set"),
    "fn_mmps": _mmps("fn", "false negatives", "members"),
    "tn_mmps": _mmps("tn", "true negatives", "set"),
}


def realised(key: str) -> str:
    """Return the key of the FPR at which a TPR was taken."""
    return f"{key}_realised"


def _tpr_at(percent: str, shown: bool = False) -> dict[str, Metric[Ranking]]:
    key, limit = f"tpr_at_{percent}pct_fpr", float(percent) / 100
    return {
        key: Metric(
            f"TPR at {percent}% FPR",
            f"The largest TPR with an FPR of at most {percent}%.",
            lambda ranking: ranking.tpr_at(limit),
            shown=shown,
        ),
        realised(key): Metric(
            f"realised FPR of the TPR at {percent}% FPR",
            "The FPR that the threshold of that TPR has.",
            lambda ranking: ranking.fpr_at(limit),
            "set",
            interval=False,
        ),
    }


# Of how an attack's scores rank members before one non-member set, in the finest precision.
RANKINGS: dict[str, Metric[Ranking]] = {
    "auroc": Metric(
        "AUROC",
        "Area under the ROC curve of what ranks the images in the finest precision.",
        lambda ranking: area_under(ranking.tpr, ranking.fpr),
        shown=True,
    ),
    "balanced_accuracy": Metric(
        "balanced accuracy",
        # The best threshold of the same images is above 1/2 for any attack.
        "(TPR + 1 − FPR)/2 of each half of the images at the threshold that is best for the other.",
        lambda ranking: ranking.balanced_accuracy,
        shown=True,
    ),
    **_tpr_at("5"),
    **_tpr_at("1", shown=True),
    **_tpr_at("0.1", shown=True),
    **_tpr_at("0.01"),
}
# Of every set, at thresholds that held-out images give: the share of these called members.
THRESHOLDS = {TRANSFER: 0.05, "fpr_at_1pct": 0.01}


def called_at(limit: float, name: str) -> Metric[Ranking]:
    """Return the metric of a set at one of these thresholds."""
    return Metric(
        f"share called members at {limit:.0%} FPR",
        f"Share of the set called members at the threshold of the largest TPR with at most "
        f"{limit:.0%} FPR on held-out images.",
        lambda ranking: ranking.share_at(limit, name),
        "set",
    )


def public(key: str) -> str:
    """Return a decision metric's name where no ranking's is beside it, e.g. `auroc`."""
    return key.removeprefix(PAPER)
