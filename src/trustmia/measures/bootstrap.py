"""Resamples of images, and intervals of what is measured on them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trustmia.arrays import Float64
from trustmia.runtime.seeding import numpy_generator

CONFIDENCE = 0.95
# Weights held at once: 16 MiB of float64.
BLOCK = 1 << 21

Interval = tuple[float, float]


def interval(values: Sequence[Float64]) -> Interval | None:
    """Return the 95% percentile interval of resampled values.

    Args:
        values: float64 [B] each; NaN where a resample has none.

    Returns:
        The interval of the others; None where more than 2.5% have none, as any value may
        then be the interval's end, and without resamples.
    """
    resampled = np.concatenate([*values, np.empty(0)])
    numbers = resampled[~np.isnan(resampled)]
    tail = 100 * (1 - CONFIDENCE) / 2
    if not len(numbers) or 100 * (len(resampled) - len(numbers)) > tail * len(resampled):
        return None
    low, high = np.percentile(numbers, [tail, 100 - tail])
    return float(low), float(high)


def draws(sizes: Mapping[str, int], resamples: int, seed: int) -> Iterator[dict[str, Float64]]:
    """Yield how often each image of each group is drawn, some resamples at a time.

    A group's draws depend on the seed and its own name and size, not on other groups or on the
    attack: all attacks are judged on the same resamples.
    `sizes` are numbers of images by group, and `resamples` is how many there are in all.

    Yields:
        Group → float64 [b, size]; rows sum to its size.
    """
    generators = {name: numpy_generator(seed, "bootstrap", name) for name in sizes}
    step = max(1, BLOCK // max(sizes.values(), default=1))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        yield {name: _draw(generators[name], size, count) for name, size in sizes.items()}


def _draw(rng: np.random.Generator, size: int, resamples: int) -> Float64:
    drawn = rng.integers(size, size=(resamples, size))
    drawn += np.arange(resamples)[:, None] * size
    counts = np.bincount(drawn.ravel(), minlength=resamples * size)
    return counts.reshape(resamples, size).astype(np.float64)
