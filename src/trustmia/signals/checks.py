"""What the numbers and names in files that anybody can bring have to be."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from trustmia.arrays import Bool, Float64
from trustmia.errors import UserError

# How far a row's sum may be from 1. Rounding stays within: K probabilities of d digits are off
# by K/2 · 10^−d at most, those of bfloat16 by 2^−8.
SUM_TOLERANCE = 0.05
# How far a score may leave [0, 1]: as far as float32 rounds.
ROUNDING = 1e-6
Array = npt.NDArray[Any]


def as_text(place: object, names: Array) -> Array:
    """Return names of sets as text, numbers and truth values as Python writes them."""
    try:
        return names.astype(str)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{place}: set holds bytes that are no ASCII; allowed: text, e.g. "
            "`np.char.decode(names, 'utf-8')`"
        ) from error


def check_text(place: object, names: Collection[str]) -> None:
    """Refuse names of sets that cannot be written as UTF-8: halves of a surrogate pair."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{place}: set {name!a} is no text in Unicode") from error


def check_rows(place: object, wrong: Bool, words: Callable[[int], str], first: int = 0) -> None:
    """Refuse an array with wrong rows.

    Args:
        place: The file, or the array in it.
        wrong: bool [N].
        words: Say what is wrong with a row, given its place in the array.
        first: Number of the array's first row in the file.

    Raises:
        UserError: There is a wrong row; it names the first one.
    """
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(f"{place}: row {first + row} {words(row)}")


def in_a_line(error: Exception) -> str:
    """Return the words of an error, which may be on several lines, or its type's name."""
    return " ".join(str(error).split()) or type(error).__name__


def beyond_01(probabilities: Array) -> Bool:
    """Say which numbers leave [0, 1] by more than rounding."""
    return np.abs(probabilities - 0.5) > 0.5 + ROUNDING


def distance_from_one(sums: Float64) -> Float64:
    """Return how far sums of scores are from 1, to the six decimals that float32 is good for."""
    return np.abs(sums - 1).round(6)


def whole_numbers(array: Array) -> Array:
    """Return floats that are whole, such as 3.0, as int64, and any other array as it is."""
    if array.dtype.kind != "f" or not (np.isfinite(array) & (array == array.round())).all():
        return array
    return array.astype(np.int64)
