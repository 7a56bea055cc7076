"""How finely probabilities were written: what one that was rounded to 0 or 1 counts as."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trustmia.arrays import Bool, Int64
from trustmia.attacks.reference.confidence import SMALLEST
from trustmia.attacks.reference.summary import blocks

Array = npt.NDArray[Any]
# Decimals that float32 still shows, be it kept in float64.
SINGLE = np.finfo(np.float32)


@dataclass(frozen=True)
class Rounding:
    """How numbers were rounded.

    Attributes:
        decimals: Digits after the point that all of them have, 1 or more; None if none are
            that few.
        least: What a number that was rounded to 0 counts as: half of the last decimal, or
            else half of the smallest number above 0, or of the last digit of a number below 1.
        ends: Images of which some model says exactly 0 or 1.
    """

    decimals: int | None
    least: float
    ends: int

    @classmethod
    def of(cls, arrays: Sequence[Array], ends: int) -> "Rounding":
        """Find it out, holding some of the numbers at once.

        Args:
            arrays: float [N, …].
            ends: Images of which some model says exactly 0 or 1.
        """
        kinds = [np.finfo(array.dtype) for array in arrays]
        finest = min(int(kind.precision) for kind in kinds)
        decimals, smallest = 0, min(float(kind.epsneg) for kind in kinds)
        for piece in (piece for array in arrays for piece in _pieces(array)):
            while decimals <= finest and not _have(piece, decimals):
                decimals += 1
            smallest = float(piece.min(initial=smallest, where=piece > 0))
        # Nothing but 0 and 1 says nothing about digits.
        known = decimals if 1 <= decimals <= finest else None
        least = smallest if known is None else 10.0**-known
        return cls(known, max(least / 2, SMALLEST), ends)

    def note(self, count: int) -> str:
        """Return what people should know, of `count` images; empty if no number is 0 or 1."""
        if not self.ends:
            return ""
        seen = f"to {self.decimals} decimals" if self.decimals else "as far as their type shows"
        return (
            f"Rounded {seen}: in {self.ends} of {count} images a model gives the true class 0 or "
            f"1, which counts as {self.least:.2g} away from it. Logits would tell them apart."
        )


def _pieces(array: Array) -> Iterator[Array]:
    for rows in blocks(len(array), array[:1].size):
        yield array[rows]


def _have(values: Array, decimals: int) -> bool:
    """Say whether numbers have at most so many decimals, but for what their type rounds."""
    kind = np.finfo(values.dtype)
    eps = max(float(kind.eps), float(SINGLE.eps) if decimals <= SINGLE.precision else 0.0)
    scaled = values.astype(np.float64) * 10.0**decimals
    tolerance = np.abs(scaled) * eps / 2 * 1.01 + float(kind.smallest_subnormal) * 10.0**decimals
    with np.errstate(invalid="ignore"):
        return bool((np.abs(scaled - np.rint(scaled)) <= tolerance).all())


def certain(models: Sequence[Array], labels: Int64) -> Bool:
    """Say of which images some model gives the true class nothing, or all others nothing.

    Args:
        models: Scores of each model, float [N, K] or [N, A, K].
        labels: int64 [N] in [0, K).

    Returns:
        bool [N].
    """
    found = np.zeros(len(labels), dtype=np.bool_)
    for model in models:
        for rows in blocks(len(labels), model[:1].size):
            above = model[rows] > 0
            index = labels[rows].reshape(-1, *[1] * (above.ndim - 1))
            true = np.take_along_axis(above, np.broadcast_to(index, (*above.shape[:-1], 1)), -1)
            end = ~true[..., 0] | (above.sum(axis=-1) == true[..., 0])
            found[rows] |= end.reshape(len(end), -1).any(axis=1)
    return found
