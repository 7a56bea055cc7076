"""How well an attack's scores rank members before non-members, with intervals."""

from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float64, Int64

# FPRs at which the TPR is reported, by the metric's name.
FPRS = {"tpr_at_1pct_fpr": 1e-2, "tpr_at_0.1pct_fpr": 1e-3, "tpr_at_0.01pct_fpr": 1e-4}
METRICS = ("auroc", "balanced_accuracy", *FPRS)
CONFIDENCE = 0.95
# Weights held at once by the bootstrap: 16 MiB of float64.
BLOCK = 1 << 21

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Ranked:
    """Scores sorted once, so that every resample of them is sorted.

    Attributes:
        order: int64 [N], row numbers by falling score.
        ends: int64 [G], the last position in `order` of each distinct score.
    """

    order: Int64
    ends: Int64


def rank(scores: Float64) -> Ranked:
    """Sort scores, float64 [N], N at least 1."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    return Ranked(order, np.flatnonzero(last))


def ranking_metrics(scores: Float64, member: Bool) -> Metrics:
    """Return the metrics of an attack's scores.

    Args:
        scores: float64 [N], higher is more likely a member; finite.
        member: bool [N], with both values present.

    Returns:
        `auroc`, the trapezoidal area under the ROC curve; `balanced_accuracy`, the best
        that any threshold reaches, (TPR + 1 − FPR)/2; `tpr_at_…`, the largest TPR with at
        most that FPR, None where there are too few non-members to have such an FPR.
    """
    counts = np.ones((1, len(scores)))
    found = _curves(rank(scores), counts, member)
    return {name: float(values[0]) for name, values in found.items()} | _unreachable(member)


def bootstrap(
    scores: Float64, member: Bool, resamples: int, seed: int
) -> dict[str, tuple[float, float] | None]:
    """Return 95% percentile intervals of the metrics.

    Members and non-members are drawn with replacement, each as many as there are. The
    same seed draws the same images for every attack, so that attacks are compared on the
    same resamples.

    Args:
        scores: float64 [N].
        member: bool [N], with both values present.
        resamples: How many; 0 for no intervals.
        seed: Seed of the draws.

    Returns:
        (low, high) of each metric of `ranking_metrics`, None where that is None or there
        are no resamples.
    """
    if resamples == 0:
        return dict.fromkeys(METRICS)
    ranked, rng = rank(scores), np.random.default_rng(seed)
    step = max(1, BLOCK // len(scores))
    parts = [
        _curves(ranked, _draw(rng, member, min(step, resamples - start)), member)
        for start in range(0, resamples, step)
    ]
    tail = 100 * (1 - CONFIDENCE) / 2
    unreachable = _unreachable(member)
    intervals: dict[str, tuple[float, float] | None] = {}
    for name in METRICS:
        values = np.concatenate([part[name] for part in parts])
        low, high = np.percentile(values, [tail, 100 - tail])
        intervals[name] = None if name in unreachable else (float(low), float(high))
    return intervals


def _draw(rng: np.random.Generator, member: Bool, resamples: int) -> Float64:
    """Return how often each image is drawn: float64 [resamples, N]."""
    counts = np.zeros((resamples, len(member)))
    for rows in (np.flatnonzero(member), np.flatnonzero(~member)):
        drawn = rng.integers(len(rows), size=(resamples, len(rows)))
        drawn += np.arange(resamples)[:, None] * len(rows)
        found = np.bincount(drawn.ravel(), minlength=resamples * len(rows))
        counts[:, rows] = found.reshape(resamples, len(rows))
    return counts


def _curves(ranked: Ranked, counts: Float64, member: Bool) -> dict[str, Float64]:
    """Return the metrics of resamples given as counts, float64 [B, N]: float64 [B] each."""
    ordered, truth = counts[:, ranked.order], member[ranked.order]
    called = np.cumsum(ordered, axis=1)
    positives = np.cumsum(ordered * truth, axis=1)
    tpr = positives[:, ranked.ends] / positives[:, -1:]
    negatives = (called - positives)[:, ranked.ends]
    fpr = negatives / negatives[:, -1:]
    zero = np.zeros((len(counts), 1))
    tpr, fpr = np.hstack([zero, tpr]), np.hstack([zero, fpr])
    result = {
        "auroc": (np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1),
        "balanced_accuracy": ((tpr - fpr).max(axis=1) + 1) / 2,
    }
    for name, limit in FPRS.items():
        # Rounding must not cost the point that lies exactly on the limit.
        last = (fpr <= limit * (1 + 1e-9)).sum(axis=1) - 1
        result[name] = np.take_along_axis(tpr, last[:, None], axis=1)[:, 0]
    return result


def _unreachable(member: Bool) -> Metrics:
    """Return None for the FPRs that are below one non-member."""
    nonmembers = int((~member).sum())
    return {name: None for name, limit in FPRS.items() if limit * nonmembers < 1}
