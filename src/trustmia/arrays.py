"""Arrays that pass between modules: names for their types, and their rows in blocks."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Numbers held at once: 64 MiB of float64.
BLOCK = 1 << 23


def blocks(count: int, width: int) -> Iterator[slice]:
    """Divide `count` images of `width` numbers each into slices that fit into memory."""
    step = max(1, BLOCK // max(width, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def in_blocks(of_rows: Callable[..., Any], *arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `of_rows` of all rows of arrays [N, K], N at least 1: [N, …], a block at a time."""
    rows = blocks(*arrays[0].shape)
    return np.concatenate([of_rows(*(array[block] for array in arrays)) for block in rows])
