"""How finely probabilities were written: what one that was rounded to 0 or 1 counts as."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trustmia.arrays import Bool, Float64, Int64, blocks
from trustmia.signals.confidence import SMALLEST

Array = npt.NDArray[Any]
SINGLE, DOUBLE = np.finfo(np.float32), np.finfo(np.float64)
# So many numbers of a model show its step.
SAMPLE = 1 << 18
# How many multiples of a step are looked at, how far from one a number may be in steps (rows may
# have been divided by their sums since), the share that has to be so near, the fewest that tell.
MULTIPLES, NEAR, SHARE, FEWEST = 5, 0.15, 0.9, 12
# Of rounded images, so many zeros go with one number below the step of an image that was not.
ZEROS_PER_FINER = 2
# Of these, coarsest first, numbers are multiples to their last digit.
STEPS = sorted([*(10.0**-d for d in range(1, 16)), *(2.0**-b for b in range(2, 13))], reverse=True)


@dataclass(frozen=True)
class Rounding:
    """How numbers were rounded.

    Where a model's other numbers show the step that its zeros come from, all models are read
    at the coarsest step found: digits that some models lack would be a spread between them.

    Attributes:
        least: What a 0 counts as, float64 [C] of the kind's columns: half of the
            step, or else of the smallest number above 0, or of the last digit below 1.
        ends: Images of which some model says exactly 0 or 1.
        kind: What the numbers are, a key of `COLUMNS`.
    """

    least: Float64
    ends: int
    kind: str

    @classmethod
    def of(cls, models: Sequence[Array], ends: int, kind: str) -> "Rounding":
        """Find it out, holding some of the numbers at once.

        Args:
            models: float [N, …] of each model, and again of its population.
            ends: Images of which some model says exactly 0 or 1.
            kind: A key of `COLUMNS`.
        """
        smallest, steps = zip(*(_smallest_and_step(model, kind) for model in models), strict=True)
        coarsest = np.max(steps, axis=0)
        least = np.where(coarsest > 0, coarsest, np.min(smallest, axis=0)) / 2
        return cls(np.maximum(least, SMALLEST), ends, kind)

    def note(self, count: int) -> str:
        """Return what people should know, of `count` images; empty if no number is an end."""
        if not self.ends:
            return ""
        start = f"Rounded: in {self.ends} of {count} images a model gives the true class "
        if self.kind == "loss":
            words = f"a loss of 0, which counts as {_range(self.least)}"
        else:
            of_two = self.kind == "probability"
            zero, one = (self.least[1:], self.least[:1]) if of_two else (self.least, self.least)
            words = f"0 or 1; 0 counts as {_range(zero)}, 1 as {_range(one)} less than 1"
        return f"{start}{words}. Logits would tell them apart."


def _range(least: Float64) -> str:
    return " or ".join(dict.fromkeys(f"{number:.2g}" for number in least))


# Turn float64 rows of a model into float64 [n, C], a column of which has one step. Of two classes,
# one is often what the other leaves of 1, and shows no finer step than that.
COLUMNS: dict[str, Callable[[Float64], Float64]] = {
    "scores": lambda rows: rows.reshape(-1, 2 if rows.shape[-1] == 2 else 1),
    "probability": lambda rows: np.stack([1 - rows.ravel(), rows.ravel()], axis=1),
    "loss": lambda rows: rows.reshape(-1, 1),
}


def _smallest_and_step(model: Array, kind: str) -> tuple[Float64, Float64]:
    """Return each column's smallest number above 0, and the step of its zeros, 0 if not known."""
    single, zeros, smallest = True, np.asarray(0), np.asarray(np.inf)
    for rows in blocks(len(model), model[:1].size):
        piece = model[rows]
        values = COLUMNS[kind](piece.astype(np.float64))
        zeros = zeros + (values <= 0).sum(axis=0)
        smallest = np.minimum(smallest, values.min(axis=0, initial=np.inf, where=values > 0))
        with np.errstate(over="ignore"):
            single = single and bool((piece.astype(np.float32) == piece).all())
    eps = float(np.finfo(model.dtype).epsneg)
    if single:
        eps = max(eps, float(SINGLE.epsneg))
    smallest = np.minimum(smallest, eps)
    if not np.any(zeros):
        return smallest, np.zeros_like(smallest)
    sample = model[:: -(-model.size // SAMPLE)]
    step = _exact_step(sample.reshape(len(sample), -1), eps)
    steps = np.asarray(
        [step or _apparent_step(column) for column in COLUMNS[kind](sample.astype(np.float64)).T]
    )
    # Finer ones are those of float64, and of what is close to underflow.
    return smallest, np.where((zeros > 0) & (steps > 4 * DOUBLE.epsneg), steps, 0.0)


def _exact_step(rows: Array, eps: float) -> float:
    """Return the step of which at least half of the rows that are no ends have multiples, or 0.

    Rows are float [n, W]; a number just below 1 is kept as finely as `eps`.
    """
    # What is next to 1 is near a multiple of any step.
    between = rows[((rows > 0) & (rows < 1 - 2 * eps)).any(axis=1)].astype(np.float64)
    digits = eps + 4 * DOUBLE.epsneg
    for step in STEPS if len(between) else ():
        if step > 10 * eps:
            multiples = between / step
            with np.errstate(invalid="ignore"):
                off = np.abs(multiples - np.rint(multiples))
            if np.mean((off <= digits * multiples).all(axis=1)) >= 0.5:
                return step
    return 0.0


def _apparent_step(values: Float64) -> float:
    """Return the step of which the smallest numbers are nearly multiples, or 0.

    Numbers of images that were not rounded may be below it, if they are few beside the zeros.
    """
    above = np.sort(values[values > 0])
    finer = int(np.count_nonzero(values <= 0)) // ZEROS_PER_FINER
    last = min(finer, len(above) - 1)
    for place in np.unique(np.geomspace(1, last + 1, 30).astype(int)) - 1 if len(above) else ():
        ends = above[place] * np.asarray([0.6, MULTIPLES + 0.5])
        # Near 1, a model's certain answers look like multiples.
        if ends[1] > 1:
            break
        start, stop = np.searchsorted(above, ends)
        multiples = above[start:stop] / above[place]
        near = np.abs(multiples - np.rint(multiples)) <= NEAR
        if len(near) >= FEWEST and near.mean() >= SHARE:
            return float(np.median(above[start:stop][multiples <= 1 + NEAR]))
    return 0.0


def certain(models: Sequence[Array], labels: Int64) -> Bool:
    """Say of which images some model gives the true class nothing, or all others: bool [N].

    Scores are float [N, K] or [N, A, K] of each model, labels int64 [N] in [0, K).
    """
    ends = np.zeros(len(labels), dtype=np.bool_)
    for model in models:
        for rows in blocks(len(labels), model[:1].size):
            above = model[rows] > 0
            index = labels[rows].reshape(-1, *[1] * (above.ndim - 1))
            true = np.take_along_axis(above, np.broadcast_to(index, (*above.shape[:-1], 1)), -1)
            end = ~true[..., 0] | (above.sum(axis=-1) == true[..., 0])
            ends[rows] |= end.reshape(len(end), -1).any(axis=1)
    return ends
