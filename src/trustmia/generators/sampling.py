"""Draws fake images from a generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trustmia.arrays import UInt8
from trustmia.images.base import Images
from trustmia.images.resizing import as_picture, as_pixels, fit_square
from trustmia.runtime.compute import autocast
from trustmia.settings import Precision

PREVIEW_COLUMNS = 12


@dataclass(frozen=True)
class SampleConfig:
    """What to draw.

    Attributes:
        num_images: Number of images, classes in turn: image i has class i mod K.
        num_classes: K; 0 if the generator knows no classes, whose images have label -1.
        latent_dim: Length of a latent vector.
        truncation: Latents are standard normal, cut off at ± this value: the truncation
            trick (Brock et al. 2019), which trades variety for likeness. None: not cut.
        size: Height and width of the images; what the generator draws is resized to it.
        batch_size: Images drawn at once.
        seed: Seed of the latents. They are drawn in one piece, [num_images, latent_dim],
            before the first image, so that the batch size does not change them.
        precision: See `compute.resolved`.
    """

    num_images: int
    num_classes: int
    latent_dim: int
    truncation: float | None
    size: int
    batch_size: int
    seed: int
    precision: Precision = "fp32"


@torch.no_grad()
def sample(
    generator: nn.Module,
    config: SampleConfig,
    device: torch.device,
    on_batch: Callable[[int], None],
) -> Images:
    """Draw class-conditional images.

    Args:
        generator: Maps latents float32 [N, latent_dim] and labels int64 [N] to images in
            [-1, 1], in evaluation mode, on the device.
        config: What to draw.
        device: Where the generator is.
        on_batch: Called with the number of new images after every batch.
    """
    latents = draw_latents(config)
    labels = torch.full((config.num_images,), -1)
    if config.num_classes:
        labels = torch.arange(config.num_images) % config.num_classes
    parts = []
    batches = zip(latents.split(config.batch_size), labels.split(config.batch_size), strict=True)
    for batch, batch_labels in batches:
        with autocast(config.precision, device):
            drawn = generator(batch.to(device), batch_labels.to(device))
        parts.append(resized(to_uint8(drawn), config.size))
        on_batch(len(batch))
    return Images(np.concatenate(parts), labels.numpy())


def draw_latents(config: SampleConfig) -> Tensor:
    """Return float32 [num_images, latent_dim], on the CPU, drawn in one piece."""
    rng = torch.Generator().manual_seed(config.seed)
    shape, bound = (config.num_images, config.latent_dim), config.truncation
    if bound is None:
        return torch.randn(shape, generator=rng)
    return nn.init.trunc_normal_(torch.empty(shape), a=-bound, b=bound, generator=rng)


def resized(pixels: UInt8, size: int) -> UInt8:
    """Bring square images, uint8 [N, C, H, H], to another size."""
    if pixels.shape[2] == size:
        return pixels
    pictures = [fit_square(as_picture(image), size, "stretch") for image in pixels]
    return np.stack([as_pixels(picture) for picture in pictures])


def to_uint8(images: Tensor) -> UInt8:
    """Map [-1, 1] to pixels: uint8 of clamp(x · 127.5 + 128, 0, 255)."""
    pixels: UInt8 = (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).cpu().numpy()
    return np.ascontiguousarray(pixels)


def preview(images: Images, num_rows: int, max_side: int) -> UInt8:
    """Lay images out for people: a row per class, uint8 [H·R, W·12] or [H·R, W·12, 3].

    Args:
        images: Those without a class fill the rows in their own order.
        num_rows: R, the number of classes that are shown.
        max_side: Larger images are shown smaller, in this many pixels.
    """
    rows = []
    for row in range(num_rows):
        start = row * PREVIEW_COLUMNS
        chosen = images.pixels[start : start + PREVIEW_COLUMNS]
        if (images.labels >= 0).all():
            chosen = images.pixels[images.labels == row][:PREVIEW_COLUMNS]
        chosen = resized(chosen, min(max_side, images.pixels.shape[2]))
        padded = np.zeros((PREVIEW_COLUMNS, *chosen.shape[1:]), dtype=np.uint8)
        padded[: len(chosen)] = chosen
        rows.append(np.concatenate(padded.transpose(0, 2, 3, 1), axis=1))
    sheet = np.concatenate(rows)
    return sheet[..., 0] if sheet.shape[2] == 1 else sheet
