"""Pictures of any size and mode, brought to a model's input shape with Pillow."""

import math

import numpy as np
from PIL import Image

from trustmia.arrays import UInt8
from trustmia.images import Fit

BILINEAR = Image.Resampling.BILINEAR
MODES = {1: "L", 3: "RGB"}
# The paper resizes the shorter side to 230 pixels before it crops 224.
UNCROPPED, CROPPED = 230, 224


def uncropped_side(size: int) -> int:
    """Return the shorter side, in pixels, of images that `size` pixels are cropped from."""
    return math.ceil(size * UNCROPPED / CROPPED)


def shorter_side_to(picture: tuple[int, int], side: int) -> tuple[int, int]:
    """Return width and height of a picture whose shorter side becomes `side`.

    The longer side is cut to whole pixels, as torchvision's `Resize` does.
    """
    width, height = picture
    if width <= height:
        return side, int(side * height / width)
    return int(side * width / height), side


def resize(picture: Image.Image, side: int) -> Image.Image:
    """Bring the shorter side to `side`, bilinearly with antialiasing."""
    wanted = shorter_side_to(picture.size, side)
    return picture if picture.size == wanted else picture.resize(wanted, BILINEAR)


def fit_square(picture: Image.Image, size: int, fit: Fit) -> Image.Image:
    """Return a picture of any size as a square one of `size` pixels a side.

    `stretch` brings both sides to `size`; `crop` brings the shorter side to `size` and keeps the
    centre, as torchvision's `Resize` and `CenterCrop` do.
    """
    if picture.size == (size, size):
        return picture
    if fit == "stretch":
        return picture.resize((size, size), BILINEAR)
    resized = resize(picture, size)
    left, top = (round((side - size) / 2) for side in resized.size)
    return resized.crop((left, top, left + size, top + size))


def as_pixels(picture: Image.Image) -> UInt8:
    """Return a grey picture as uint8 [1, H, W], one in colour as uint8 [3, H, W]."""
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def as_picture(pixels: UInt8) -> Image.Image:
    """Return uint8 [1, H, W] or [3, H, W] as a picture."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
