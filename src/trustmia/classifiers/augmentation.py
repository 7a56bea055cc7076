"""Random rotation, crop and flip of whole batches, as in the paper's dog experiments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trustmia.arrays import UInt8

MAX_DEGREES = 20.0


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

    Sizes, int64 [N, 2], are width and height of each image, at least `size`, that of
    the square crop.
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
    maps = _maps_to_sources(sizes, choices, size, (width, height)).float().to(device)
    line = ((2 * torch.arange(size, device=device) + 1) / size - 1)[None, :, None]
    rows = line * maps[:, None, :, 1] + maps[:, None, :, 2]
    grid = rows[:, :, None] + (line * maps[:, None, :, 0])[:, None]
    pixels = torch.from_numpy(canvas).to(device).float()
    return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)


def _maps_to_sources(sizes: Tensor, choices: Choices, size: int, canvas: tuple[int, int]) -> Tensor:
    """Return the affine maps from a result's positions to those on the canvas.

    A position (u, v) in [-1, 1]² of the result is mirrored, moved into the image, turned
    about the image's centre, and expressed in [-1, 1]² of the canvas, as `grid_sample`
    wants it. Sizes, float64 [N, 2], and the canvas are widths and heights; `size` is that of
    the square results.

    Returns:
        float64 [N, 2, 3].
    """
    centre = (sizes - 1) / 2
    from_centre = (size - 1) / 2 + choices.corner - centre
    angle = torch.deg2rad(choices.degrees)
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    steps = torch.full_like(sizes, size / 2)
    steps[:, 0] *= torch.where(choices.flip, -1, 1)
    shift = (turn @ from_centre[:, :, None])[:, :, 0] + centre
    extent = torch.tensor(canvas, dtype=torch.float64)
    linear = turn * steps[:, None, :] * 2 / extent[:, None]
    return torch.cat([linear, ((2 * shift + 1) / extent - 1)[:, :, None]], dim=2)
