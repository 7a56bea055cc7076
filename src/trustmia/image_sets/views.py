"""Registry of the views of an image that attacks with reference models average.

A model was trained on such views too, or on images like them, so that each view carries
some evidence of its own (Carlini et al. 2022, section VI-A).
"""

from collections.abc import Callable

import numpy as np

from trustmia.arrays import UInt8


def _shift(rows: int, columns: int) -> Callable[[UInt8], UInt8]:
    def shift(pixels: UInt8) -> UInt8:
        padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        height, width = pixels.shape[2:]
        top, left = 1 - rows, 1 - columns
        return np.ascontiguousarray(padded[:, :, top : top + height, left : left + width])

    return shift


# Each maps uint8 [N, C, H, W] to the same shape; pixels that a shift uncovers repeat the edge.
VIEWS: dict[str, Callable[[UInt8], UInt8]] = {
    "plain": lambda pixels: pixels,
    "flip": lambda pixels: np.ascontiguousarray(pixels[:, :, :, ::-1]),
    "shift_left": _shift(0, -1),
    "shift_right": _shift(0, 1),
    "shift_up": _shift(-1, 0),
    "shift_down": _shift(1, 0),
}
