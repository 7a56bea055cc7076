"""Random rotation, crop and flip of whole batches, as in the paper's dog experiments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trustmia.arrays import UInt8

AUGMENTATIONS = ("none", "rotate_crop_flip")
MAX_DEGREES = 20.0
# The paper resizes the shorter side to 230 pixels before it crops 224.
UNCROPPED, CROPPED = 230, 224


def uncropped_side(size: int) -> int:
    """Return the shorter side, in pixels, of images that `size` pixels are cropped from."""
    return math.ceil(size * UNCROPPED / CROPPED)


@dataclass(frozen=True)
class Choices:
    """What was drawn for a batch of N images.

    Attributes:
        degrees: float64 [N], rotation counter-clockwise about the image's centre.
        corner: float64 [N, 2], column and row of the crop's upper left pixel.
        flip: bool [N], whether the crop is mirrored left to right.
    """

    degrees: Tensor
    corner: Tensor
    flip: Tensor


def draw(sizes: Tensor, size: int) -> Choices:
    """Draw rotations, crops and flips with PyTorch's global generator of the CPU.

    Args:
        sizes: int64 [N, 2], width and height of each image, at least `size`.
        size: Height and width of the crop.
    """
    count = len(sizes)
    degrees = (2 * torch.rand(count, dtype=torch.float64) - 1) * MAX_DEGREES
    room = sizes - size + 1
    corner = (torch.rand(count, 2, dtype=torch.float64) * room).floor()
    return Choices(degrees, corner, torch.rand(count) < 0.5)


def apply(
    images: Sequence[UInt8], choices: Choices, size: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Rotate, crop and mirror images in one bilinear look-up.

    The images are laid on one black canvas each, so that a single `grid_sample` serves
    the batch. Where a rotated image ends there is black.

    Args:
        images: N arrays uint8 [C, h, w] of any sizes.
        choices: What to do with each.
        size: Height and width of the results.
        device: Where to compute.

    Returns:
        float32 [N, C, size, size] in [0, 255].
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    canvas = np.zeros((len(images), images[0].shape[0], height, width), dtype=np.uint8)
    for place, image in zip(canvas, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    sizes = torch.tensor([image.shape[:0:-1] for image in images], dtype=torch.float64)
    grid = _source_positions(sizes, choices, size, device)
    extent = torch.tensor([width, height], dtype=torch.float32, device=device)
    return F.grid_sample(
        torch.from_numpy(canvas).to(device).float(),
        (2 * grid + 1) / extent - 1,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )


def _source_positions(
    sizes: Tensor, choices: Choices, size: int, device: torch.device | str
) -> Tensor:
    """Return where each pixel of the results comes from: float32 [N, size, size, 2].

    Positions are column and row, in pixels, with the centre of the first pixel at 0.
    """
    line = torch.arange(size, dtype=torch.float64, device=device)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    flip, corner = choices.flip.to(device)[:, None, None], choices.corner.to(device)
    x = torch.where(flip, size - 1 - columns, columns) + corner[:, 0, None, None]
    y = rows + corner[:, 1, None, None]
    centre = ((sizes - 1) / 2).to(device)[:, :, None, None]
    x, y = x - centre[:, 0], y - centre[:, 1]
    angle = torch.deg2rad(choices.degrees).to(device)[:, None, None]
    cosine, sine = angle.cos(), angle.sin()
    turned = x * cosine - y * sine + centre[:, 0], x * sine + y * cosine + centre[:, 1]
    return torch.stack(turned, dim=-1).float()
