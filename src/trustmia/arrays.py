"""Arrays that pass between modules: names for their types, and their rows in blocks."""

from collections.abc import Iterator

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
