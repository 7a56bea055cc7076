"""How well an attack's scores rank members before non-members, with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float64, Int64
from trustmia.seeding import numpy_generator

# FPRs at which the TPR is reported, by the metric's name.
FPRS = {
    "tpr_at_5pct_fpr": 5e-2,
    "tpr_at_1pct_fpr": 1e-2,
    "tpr_at_0.1pct_fpr": 1e-3,
    "tpr_at_0.01pct_fpr": 1e-4,
}
METRICS = ("auroc", "balanced_accuracy", *FPRS)
# Thresholds at which other non-member sets are judged: the FPR on the held-out images.
OPERATING_POINTS = {"fpr_at_5pct": 5e-2, "fpr_at_1pct": 1e-2}
CONFIDENCE = 0.95
# Weights held at once by the bootstrap: 16 MiB of float64.
BLOCK = 1 << 21
MEMBERS, NONMEMBERS = "members", "original"

Metrics = dict[str, float | None]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Ranked:
    """Scores sorted once, so that every resample of them is sorted.

    Attributes:
        order: int64 [N], row numbers by falling score.
        ends: int64 [G], the last position in `order` of each distinct score.
        values: float64 [G], the distinct scores, falling.
    """

    order: Int64
    ends: Int64
    values: Float64


def rank(scores: Float64) -> Ranked:
    """Sort scores, float64 [N], N at least 1."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return Ranked(order, ends, ordered[ends])


@dataclass(frozen=True)
class Judgement:
    """How well an attack ranks, and whom else it calls members.

    Attributes:
        metrics: `auroc`, the trapezoidal area under the ROC curve; `balanced_accuracy`, the
            best that any threshold reaches, (TPR + 1 − FPR)/2; `tpr_at_…`, the largest TPR
            with at most that FPR, None where there are too few non-members to have such an
            FPR.
        intervals: Their 95% percentile intervals, (low, high); None where there is no
            metric or there are no resamples.
        rates: Operating point → non-member set → share of its images called members, at the
            threshold of the largest TPR with at most that FPR on the held-out images.
        rate_intervals: Their intervals; None without resamples.
    """

    metrics: Metrics
    intervals: dict[str, Interval | None]
    rates: dict[str, dict[str, float]]
    rate_intervals: dict[str, dict[str, Interval | None]]


def judge(
    scores: Float64, member: Bool, sets: Mapping[str, Float64], resamples: int, seed: int
) -> Judgement:
    """Judge an attack by its scores alone.

    Intervals are of the bootstrap over images: members, held-out images and those of every
    other set are drawn with replacement, each as many as there are. The same seed draws the
    same images for every attack, so that attacks are compared on the same resamples.

    Args:
        scores: float64 [N] of the audited images, higher is more likely a member; finite.
        member: bool [N], with both values present.
        sets: Further non-member sets and their scores, float64 [S] each, S at least 1.
        resamples: How many; 0 for no intervals.
        seed: Seed of the draws.
    """
    ranked = rank(scores)
    others = {name: _Placed.among(ranked, values) for name, values in sets.items()}
    everything = {name: np.ones((1, len(values))) for name, values in sets.items()}
    once = _measure(ranked, np.ones((1, len(scores))), member, others, everything)
    parts = [
        _measure(ranked, _as_rows(draw, member), member, others, draw)
        for draw in draws(_sizes(member, sets), resamples, seed)
    ]
    unreachable = {name for name, limit in FPRS.items() if limit * int((~member).sum()) < 1}
    return Judgement(
        metrics={
            name: None if name in unreachable else float(once.metrics[name][0]) for name in METRICS
        },
        intervals={
            name: None if name in unreachable else interval([p.metrics[name] for p in parts])
            for name in METRICS
        },
        rates={
            point: {name: float(values[0]) for name, values in rates.items()}
            for point, rates in once.rates.items()
        },
        rate_intervals={
            point: {name: interval([p.rates[point][name] for p in parts]) for name in rates}
            for point, rates in once.rates.items()
        },
    )


def ranking_metrics(scores: Float64, member: Bool) -> Metrics:
    """Return the metrics of an attack's scores alone (see `judge`)."""
    return judge(scores, member, {}, 0, 0).metrics


def interval(values: Sequence[Float64]) -> Interval | None:
    """Return the 95% percentile interval of resampled values, float64 [B] each; None of none."""
    if not values:
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(values), [tail, 100 - tail])
    return float(low), float(high)


def draws(sizes: Mapping[str, int], resamples: int, seed: int) -> Iterator[dict[str, Float64]]:
    """Yield how often each image of each group is drawn, some resamples at a time.

    A group's draws depend on the seed and its own name and size, not on other groups.

    Args:
        sizes: Number of images by group.
        resamples: How many in all.
        seed: Seed of the draws.

    Yields:
        Group → float64 [b, size]; rows sum to size.
    """
    generators = {name: numpy_generator(seed, "bootstrap", name) for name in sizes}
    step = max(1, BLOCK // max(sizes.values(), default=1))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        yield {name: _draw(generators[name], size, count) for name, size in sizes.items()}


def _draw(rng: np.random.Generator, size: int, resamples: int) -> Float64:
    drawn = rng.integers(size, size=(resamples, size))
    drawn += np.arange(resamples)[:, None] * size
    found = np.bincount(drawn.ravel(), minlength=resamples * size)
    return found.reshape(resamples, size).astype(np.float64)


def _sizes(member: Bool, sets: Mapping[str, Float64]) -> dict[str, int]:
    members = int(member.sum())
    audited = {MEMBERS: members, NONMEMBERS: len(member) - members}
    return audited | {name: len(values) for name, values in sets.items()}


def _as_rows(draw: dict[str, Float64], member: Bool) -> Float64:
    """Return the draws of members and held-out images in the order of the rows."""
    counts = np.empty((len(draw[MEMBERS]), len(member)))
    counts[:, member], counts[:, ~member] = draw[MEMBERS], draw[NONMEMBERS]
    return counts


@dataclass(frozen=True)
class _Placed:
    """A non-member set, sorted, and how much of it is above each score of the audited images.

    Attributes:
        order: int64 [S], row numbers by falling score.
        above: int64 [G + 1], images with at least the g-th largest distinct audited score;
            first of all 0, the threshold that nobody reaches.
    """

    order: Int64
    above: Int64

    @classmethod
    def among(cls, ranked: Ranked, values: Float64) -> "_Placed":
        order = np.argsort(-values, kind="stable")
        above = np.searchsorted(-values[order], -ranked.values, side="right")
        return cls(order, np.concatenate([[0], above]))


@dataclass(frozen=True)
class _Measured:
    metrics: dict[str, Float64]
    rates: dict[str, dict[str, Float64]]


def _measure(
    ranked: Ranked,
    counts: Float64,
    member: Bool,
    others: Mapping[str, _Placed],
    drawn: Mapping[str, Float64],
) -> _Measured:
    """Return all numbers, float64 [B] each, of resamples given as counts, float64 [B, N]."""
    tpr, fpr = roc_of(ranked, counts, member)
    metrics = {
        "auroc": area_under(tpr, fpr),
        "balanced_accuracy": ((tpr - fpr).max(axis=1) + 1) / 2,
    }
    for name, limit in FPRS.items():
        metrics[name] = np.take_along_axis(tpr, _last(fpr, limit)[:, None], axis=1)[:, 0]
    last = {point: _last(fpr, limit)[:, None] for point, limit in OPERATING_POINTS.items()}
    rates = {
        point: {NONMEMBERS: np.take_along_axis(fpr, at, axis=1)[:, 0]} for point, at in last.items()
    }
    for name, placed in others.items():
        called = np.cumsum(drawn[name][:, placed.order], axis=1)
        called = np.hstack([np.zeros((len(called), 1)), called])
        for point, at in last.items():
            number = np.take_along_axis(called, placed.above[at], axis=1)[:, 0]
            rates[point][name] = number / called[:, -1]
    return _Measured(metrics, rates)


def roc_of(ranked: Ranked, counts: Float64, member: Bool) -> tuple[Float64, Float64]:
    """Return TPR and FPR of resamples: float64 [B, G + 1] each, from (0, 0).

    Args:
        ranked: The sorted scores.
        counts: float64 [B, N], how often each row was drawn.
        member: bool [N].
    """
    ordered, truth = counts[:, ranked.order], member[ranked.order]
    called = np.cumsum(ordered, axis=1)
    positives = np.cumsum(ordered * truth, axis=1)
    tpr = positives[:, ranked.ends] / positives[:, -1:]
    negatives = (called - positives)[:, ranked.ends]
    fpr = negatives / negatives[:, -1:]
    zero = np.zeros((len(counts), 1))
    return np.hstack([zero, tpr]), np.hstack([zero, fpr])


def area_under(tpr: Float64, fpr: Float64) -> Float64:
    """Return the trapezoidal areas under ROC curves, float64 [B], of what `roc_of` returned."""
    area: Float64 = (np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1)
    return area


def _last(fpr: Float64, limit: float) -> Int64:
    """Return the last ROC point with at most an FPR: int64 [B].

    Rounding must not cost the point that lies exactly on the limit.
    """
    return (fpr <= limit * (1 + 1e-9)).sum(axis=1) - 1
