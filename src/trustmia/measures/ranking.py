"""How well an attack's scores rank members before non-members, with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float64, Int64
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.runtime.seeding import numpy_generator

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
        metrics: Fractions. `auroc`, the trapezoidal area under the ROC curve;
            `balanced_accuracy`, (TPR + 1 − FPR)/2 of each half of the images at the threshold
            that is best for the other half, since that of the best threshold for the same
            images is above 1/2 for any attack; `tpr_at_…`, the largest TPR with at most that
            FPR. None where a FPR is unreachable: there are too few non-members to have it, or
            more of them share the largest score.
        realised: Of each `tpr_at_…`, the FPR that its threshold has; None alike.
        intervals: The metrics' 95% percentile intervals, (low, high); None where there is no
            metric, there are no resamples, or the FPR is unreachable in too many of them.
        rates: Operating point → non-member set → share of its images called members, at the
            threshold of the largest TPR with at most that FPR on the held-out images; None
            where that is unreachable.
        rate_intervals: Their intervals; None alike.
    """

    metrics: Metrics
    realised: Metrics
    intervals: dict[str, Interval | None]
    rates: dict[str, Metrics]
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
    halves = halves_of(member, seed)
    others = {name: _Placed.among(ranked, values) for name, values in sets.items()}
    everything = {name: np.ones((1, len(values))) for name, values in sets.items()}
    once = _measure(ranked, np.ones((1, len(scores))), member, halves, others, everything)
    parts = [
        _measure(ranked, _as_rows(draw, member), member, halves, others, draw)
        for draw in draws(_sizes(member, sets), resamples, seed)
    ]
    limits = FPRS | OPERATING_POINTS
    nonmembers = int((~member).sum())
    missing = {
        name
        for name, limit in limits.items()
        if limit * nonmembers < 1 or np.isnan(once.realised[name][0])
    }
    if halves is None:
        missing.add("balanced_accuracy")
    return Judgement(
        metrics={n: None if n in missing else float(once.metrics[n][0]) for n in METRICS},
        realised={n: None if n in missing else float(once.realised[n][0]) for n in FPRS},
        intervals={
            n: None if n in missing else interval([p.metrics[n] for p in parts]) for n in METRICS
        },
        rates={
            point: {k: None if point in missing else float(v[0]) for k, v in rates.items()}
            for point, rates in once.rates.items()
        },
        rate_intervals={
            point: {
                k: None if point in missing else interval([p.rates[point][k] for p in parts])
                for k in rates
            }
            for point, rates in once.rates.items()
        },
    )


def ranking_metrics(scores: Float64, member: Bool) -> Metrics:
    """Return the metrics of an attack's scores alone (see `judge`)."""
    return judge(scores, member, {}, 0, 0).metrics


def interval(values: Sequence[Float64]) -> Interval | None:
    """Return the 95% percentile interval of resampled values.

    Args:
        values: float64 [B] each; NaN where a resample has none.

    Returns:
        The interval of the others; None where more than 2.5% have none, as any value may
        then be the interval's end, and without resamples.
    """
    found = np.concatenate([*values, np.empty(0)])
    known = found[~np.isnan(found)]
    tail = 100 * (1 - CONFIDENCE) / 2
    if not len(known) or 100 * (len(found) - len(known)) > tail * len(found):
        return None
    low, high = np.percentile(known, [tail, 100 - tail])
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
    audited = {MEMBERS: members, HELD_OUT: len(member) - members}
    return audited | {name: len(values) for name, values in sets.items()}


def _as_rows(draw: dict[str, Float64], member: Bool) -> Float64:
    """Return the draws of members and held-out images in the order of the rows."""
    counts = np.empty((len(draw[MEMBERS]), len(member)))
    counts[:, member], counts[:, ~member] = draw[MEMBERS], draw[HELD_OUT]
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


def halves_of(member: Bool, seed: int) -> Bool | None:
    """Return a random half of the members and of the non-members: bool [N].

    None where there is but one of either.
    """
    half = np.zeros(len(member), dtype=np.bool_)
    for name, rows in ((MEMBERS, np.flatnonzero(member)), (HELD_OUT, np.flatnonzero(~member))):
        if len(rows) < 2:
            return None
        shuffled = numpy_generator(seed, "halves", name).permutation(rows)
        half[shuffled[: len(rows) // 2]] = True
    return half


@dataclass(frozen=True)
class _Measured:
    """Numbers of resamples, float64 [B] each; NaN where no threshold has the FPR."""

    metrics: dict[str, Float64]
    realised: dict[str, Float64]
    rates: dict[str, dict[str, Float64]]


def _measure(
    ranked: Ranked,
    counts: Float64,
    member: Bool,
    halves: Bool | None,
    others: Mapping[str, _Placed],
    drawn: Mapping[str, Float64],
) -> _Measured:
    """Return all numbers, float64 [B] each, of resamples given as counts, float64 [B, N]."""
    tpr, fpr = roc_of(ranked, counts, member)
    metrics = {"auroc": area_under(tpr, fpr)}
    if halves is not None:
        metrics["balanced_accuracy"] = _balanced_accuracy(ranked, counts, member, halves)
    realised = {}
    last = {n: _last(fpr, limit)[:, None] for n, limit in (FPRS | OPERATING_POINTS).items()}
    for name, at in last.items():
        realised[name] = _reached(fpr, at, fpr[:, 1])
        if name in FPRS:
            metrics[name] = _reached(tpr, at, tpr[:, 1])
    rates = {point: {HELD_OUT: realised[point]} for point in OPERATING_POINTS}
    for name, placed in others.items():
        called = np.cumsum(drawn[name][:, placed.order], axis=1)
        called = np.hstack([np.zeros((len(called), 1)), called])
        for point in OPERATING_POINTS:
            number = _reached(called, placed.above[last[point]], called[:, placed.above[1]])
            rates[point][name] = number / called[:, -1]
    return _Measured(metrics, realised, rates)


def _reached(rates: Float64, at: Int64, largest: Float64) -> Float64:
    """Return rates at ROC points, float64 [B]; NaN at the point that calls nobody.

    There it is nevertheless 0 where none share the largest score: whatever is done about
    the non-members that do, it is 0.

    Args:
        rates: float64 [B, P].
        at: int64 [B, 1], places in `rates`; 0 calls nobody.
        largest: float64 [B], the rate at the largest score.
    """
    found = np.take_along_axis(rates, at, axis=1)[:, 0]
    return np.where((at[:, 0] > 0) | (largest == 0), found, np.nan)


def _balanced_accuracy(ranked: Ranked, counts: Float64, member: Bool, half: Bool) -> Float64:
    """Return each half's balanced accuracy at the other's best threshold, their mean: [B]."""
    gaps = [_gap(ranked, counts, member, part) for part in (half, ~half)]
    found = [
        np.take_along_axis(there, here.argmax(axis=1)[:, None], axis=1)[:, 0]
        for here, there in (gaps, gaps[::-1])
    ]
    result: Float64 = (1 + (found[0] + found[1]) / 2) / 2
    return result


def _gap(ranked: Ranked, counts: Float64, member: Bool, part: Bool) -> Float64:
    """Return TPR − FPR of some rows at every threshold, from nobody on: float64 [B, G + 1]."""
    members, nonmembers = member & part, ~member & part
    totals = [counts[:, rows].sum(axis=1, keepdims=True) for rows in (members, nonmembers)]
    positives, negatives = (np.maximum(total, 1) for total in totals)
    # Whole numbers until they are divided: of equally good thresholds, rounding chooses none.
    weights = np.zeros_like(counts)
    weights[:, members] = counts[:, members] * negatives
    weights[:, nonmembers] = -counts[:, nonmembers] * positives
    reached = np.cumsum(weights[:, ranked.order], axis=1)[:, ranked.ends] / (positives * negatives)
    return np.hstack([np.zeros((len(counts), 1)), reached])


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
