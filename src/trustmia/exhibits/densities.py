"""How the maximum prediction scores of image sets are distributed, and how far apart."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance

from trustmia.arrays import Float32, Float64
from trustmia.image_sets import MEMBERS
from trustmia.signals.scores import ScoreSet

GRID_POINTS = 128
HISTOGRAM_BINS = 25
# Smallest bandwidth, as a share of the interval: scores may all be exactly 1. More than the
# distance of two grid points, so that no peak falls between them.
MIN_BANDWIDTH = 0.01


def maximum_scores(target: ScoreSet) -> dict[str, Float32]:
    """Return the largest score of every image (float32 [n]) by set, members first."""
    maxima: Float32 = target.scores.max(axis=1)
    others = {name: maxima[rows] for name, rows in target.nonmember_sets().items()}
    return {MEMBERS: maxima[target.member], **others}


def density_table(maxima: dict[str, Float32], classes: int) -> pd.DataFrame:
    """Return the density of every set's maximum scores on one grid from 1/K to 1.

    Args:
        maxima: Set → maximum scores, float32 [n].
        classes: K, the number of scores of an image.

    Returns:
        Rows `set`, `score`, `density`; `GRID_POINTS` for each set.
    """
    grid = np.linspace(1 / classes, 1, GRID_POINTS)
    tables = [
        pd.DataFrame({"set": name, "score": grid, "density": reflected_density(values, grid)})
        for name, values in maxima.items()
    ]
    return pd.concat(tables, ignore_index=True)


def histogram_table(maxima: dict[str, Float32], classes: int) -> pd.DataFrame:
    """Return how the maximum scores of members and of each other set are distributed.

    For the arguments see `density_table`.

    Returns:
        Rows `set`, `group` (`members` or `non-members`), `maximum score` (middle of a bin)
        and `share` of the group's images in the bin.
    """
    lowest = 1 / classes
    edges = np.linspace(lowest, 1, HISTOGRAM_BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    tables = []
    for name in filter(lambda name: name != MEMBERS, maxima):
        for group, values in ((MEMBERS, maxima[MEMBERS]), ("non-members", maxima[name])):
            counts = np.histogram(np.clip(values, lowest, 1), edges)[0]
            columns = {"maximum score": middles, "share": counts / len(values)}
            tables.append(pd.DataFrame({"set": name, "group": group, **columns}))
    return pd.concat(tables, ignore_index=True)


def reflected_density(values: Float32 | Float64, grid: Float64) -> Float64:
    """Return a Gaussian kernel density that loses nothing at the ends of its interval.

    What a kernel puts beyond an end is reflected back; values beyond an end count as there.
    Summed by the trapezoidal rule, the density is 1.

    Args:
        values: [n], n ≥ 1.
        grid: float64 [G], equidistant from one end of the interval to the other.

    Returns:
        float64 [G].
    """
    low, length = grid[0], grid[-1] - grid[0]
    positions = np.clip((values.astype(np.float64) - low) / length, 0, 1)
    points = (grid[:, None] - low) / length
    width = bandwidth(positions)
    total = np.zeros(len(grid))
    # Two mirrors at 0 and 1: the images of p are at p and -p, and again at every even distance.
    for image in (positions, -positions):
        for shift in (-2, 0, 2):
            total += np.exp(-0.5 * ((points - image - shift) / width) ** 2).sum(axis=1)
    return total / (len(positions) * width * np.sqrt(2 * np.pi) * length)


def bandwidth(positions: Float64) -> float:
    """Return a kernel's standard deviation for float64 [n] in [0, 1].

    Silverman's rule of thumb, 0.9 · min(standard deviation, interquartile range / 1.34) ·
    n^(-1/5), but never below `MIN_BANDWIDTH`.
    """
    lower, upper = np.quantile(positions, [0.25, 0.75])
    spread = min(positions.std(), (upper - lower) / 1.34)
    return max(float(0.9 * spread * len(positions) ** -0.2), MIN_BANDWIDTH)


def score_distances(maxima: dict[str, Float32]) -> dict[str, dict[str, float]]:
    """Return the earth mover's distances between the sets: set → set → distance.

    Every pair is there in both orders, and every set's distance 0 from itself.
    """
    distances = {name: dict.fromkeys(maxima, 0.0) for name in maxima}
    for first, second in combinations(maxima, 2):
        distance = float(wasserstein_distance(maxima[first], maxima[second]))
        distances[first][second] = distances[second][first] = distance
    return distances
