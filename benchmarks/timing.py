"""How the benchmarks measure."""

import statistics
import time
from collections.abc import Callable


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes, in seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def side_by_side(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Time two actions in turn, after one round that does not count.

    Returns:
        Median seconds of the first and of the second, and the median over the rounds of
        second/first: how many times faster the first is.
    """
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds + 1)][1:]
    ratios = [b / a for a, b in pairs]
    firsts, seconds_ = zip(*pairs)
    return statistics.median(firsts), statistics.median(seconds_), statistics.median(ratios)
