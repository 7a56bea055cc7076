"""What attacks need of many models: a few numbers per image, gathered in one pass."""

from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float64, Int64, blocks
from trustmia.signals.confidence import log_probability, probability
from trustmia.signals.many_models import ModelOutputs

# Logits and scores are kept in float32, of 24 bits; adding up some of them costs a few more.
# What differs by a smaller share is rounding.
RESOLUTION = 2.0**-20


@dataclass(frozen=True)
class Side:
    """What the reference models of one side, IN or OUT, say of each image.

    Attributes:
        count: int64 [N], how many models.
        median: float64 [N, A] of the confidence; NaN where there is no model.
        std: float64 [N, A] of the confidence; exactly 0 where all models say the same, NaN
            where there is none.
        spread: float64 [A], standard deviation of the confidence around each image's
            median, over all images; at least the resolution of the largest median.
        grand_std: float64 [A], all views the same: standard deviation of the confidence over
            all models, images and views; at least that resolution, too.
        probability: float64 [N, A], mean of the true class's probability.
        log_probability: float64 [N, A], mean of its logarithm.
    """

    count: Int64
    median: Float64
    std: Float64
    spread: Float64
    grand_std: Float64
    probability: Float64
    log_probability: Float64

    @property
    def flat(self) -> Bool:
        """Where the models show no spread but rounding: bool [N, A]."""
        return self.std <= resolution(self.median)


@dataclass(frozen=True)
class Summary:
    """All that attacks see of the audited images.

    Attributes:
        target: float64 [N, A], the target's confidence in the true class, A views of
            each image.
        in_models: Reference models that were trained on the image.
        out_models: Reference models that were not.
    """

    target: Float64
    in_models: Side
    out_models: Side

    def without_spread(self) -> int:
        """Count images of which two or more models of a side say the same, in some view."""
        sides = (self.in_models, self.out_models)
        return int(np.any([s.flat.any(axis=1) & (s.count > 1) for s in sides], axis=0).sum())


def resolution(confidence: Float64) -> Float64:
    """Return what a difference from confidences must exceed to be more than rounding."""
    return RESOLUTION * np.maximum(1, np.abs(confidence))


def summarise(
    source: ModelOutputs, member: Bool, target: int, references: Int64, used: Bool | None = None
) -> Summary:
    """Gather the numbers of all images, some at a time.

    Args:
        source: What M models say of N images.
        member: bool [M, N].
        target: Index of the target.
        references: int64 [R], indices of the reference models. A side is NaN for images of
            which it has none.
        used: bool [R, N], the reference model speaks for the image; None: all do.
    """
    count = member.shape[1]
    targets = np.empty((count, source.views))
    sides = [_Gathered(count, source.views), _Gathered(count, source.views)]
    for rows in blocks(count, source.width):
        block = source.confidences(rows)
        targets[rows] = block[target]
        if not len(references):
            continue
        in_models = member[references, rows]
        speaks = True if used is None else used[:, rows]
        for side, mask in zip(sides, (in_models & speaks, ~in_models & speaks), strict=True):
            side.add(rows, block[references], mask)
    return Summary(targets, *(side.finish() for side in sides))


class _Gathered:
    """A `Side` in the making."""

    def __init__(self, count: int, views: int) -> None:
        self.count = np.zeros(count, np.int64)
        self.numbers = {
            name: np.full((count, views), np.nan)
            for name in ("median", "std", "probability", "log_probability")
        }
        self.squares, self.total, self.largest = np.zeros(views), 0, np.zeros(views)
        self.grand_mean, self.grand_squares = 0.0, 0.0

    def add(self, rows: slice, block: Float64, mask: Bool) -> None:
        """Add images: confidences float64 [R, K, A], and which models belong to the side."""
        count = mask.sum(axis=0)
        ordered, chosen = in_order(block, mask)
        median = median_of(ordered, count)
        squares = np.square(ordered - mean_of(ordered, count)).sum(axis=0, where=chosen)
        self.count[rows] = count
        self.numbers["median"][rows] = median
        with np.errstate(invalid="ignore"):
            self.numbers["std"][rows] = np.sqrt(squares / count[:, None])
        self.numbers["probability"][rows] = mean_of(probability(ordered), count)
        self.numbers["log_probability"][rows] = mean_of(log_probability(ordered), count)
        self.squares += np.square(ordered - median).sum(axis=(0, 1), where=chosen)
        self._add_to_grand(block[np.broadcast_to(mask[:, :, None], block.shape)])
        self.total += int(count.sum())
        self.largest = np.fmax(self.largest, np.fmax.reduce(np.abs(median), axis=0))

    def _add_to_grand(self, values: Float64) -> None:
        """Add values, float64 [V], to mean and squares of those before (Chan et al. 1979)."""
        before, added = self.total * len(self.squares), len(values)
        if not added:
            return
        mean = float(values.mean())
        apart = mean - self.grand_mean
        self.grand_squares += float(np.square(values - mean).sum())
        self.grand_squares += apart**2 * before * added / (before + added)
        self.grand_mean += apart * added / (before + added)

    def finish(self) -> Side:
        """Return what was gathered."""
        least, number = resolution(self.largest), max(self.total, 1)
        spread = np.maximum(np.sqrt(self.squares / number), least)
        grand = np.sqrt(self.grand_squares / (number * len(self.squares)))
        return Side(
            count=self.count,
            spread=spread,
            grand_std=np.full_like(spread, max(grand, least.max())),
            **self.numbers,
        )


def in_order(values: Float64, mask: Bool) -> tuple[Float64, Bool]:
    """Sort the models of a mask to the front, image by image.

    One sort serves all images, whatever the number of their models.

    Args:
        values: float64 [R, K, A].
        mask: bool [R, K].

    Returns:
        float64 [R, K, A]: the models of the mask, after which the first is repeated, or 0
        where the mask has none; and which are of the mask, bool [R, K, 1].
    """
    count = mask.sum(axis=0)
    ordered = np.sort(np.where(mask[:, :, None], values, np.inf), axis=0)
    chosen = (np.arange(len(mask))[:, None] < count)[:, :, None]
    return np.where(chosen, ordered, np.where(count[:, None] > 0, ordered[0], 0.0)), chosen


def mean_of(ordered: Float64, count: Int64) -> Float64:
    """Return the mean over the first `count` models; of equal numbers it is that number.

    Args:
        ordered: float64 [R, K, A], in the form that `in_order` returns.
        count: int64 [K].

    Returns:
        float64 [K, A]; NaN where there is no model.
    """
    above = (ordered - ordered[0]).sum(axis=0) / np.maximum(count, 1)[:, None]
    return np.where(count[:, None] > 0, ordered[0] + above, np.nan)


def median_of(ordered: Float64, count: Int64) -> Float64:
    """Return the median over the first `count` models; shapes and NaN are those of `mean_of`."""
    middle = [np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(ordered) - 1)]
    parts = [
        np.take_along_axis(ordered, np.broadcast_to(m[None, :, None], (1, *ordered.shape[1:])), 0)
        for m in middle
    ]
    return np.where(count[:, None] > 0, (parts[0][0] + parts[1][0]) / 2, np.nan)
