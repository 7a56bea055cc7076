"""Draws fake images from a generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trustmia.arrays import UInt8
from trustmia.compute import Precision, autocast, place
from trustmia.datasets.base import Images

PREVIEW_COLUMNS = 12


@dataclass(frozen=True)
class SampleConfig:
    """What to draw.

    Attributes:
        num_images: Number of images, classes in turn: image i has class i mod K.
        num_classes: K.
        latent_dim: Length of a latent vector.
        truncation: Latents are standard normal, cut off at ± this value: the truncation
            trick (Brock et al. 2019), which trades variety for likeness.
        batch_size: Images drawn at once.
        seed: Seed of the latents. They are drawn in one piece, [num_images, latent_dim],
            before the first image, so that the batch size does not change them.
        precision: See `compute.use_bf16`.
    """

    num_images: int
    num_classes: int
    latent_dim: int
    truncation: float
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
            [-1, 1], in evaluation mode.
        config: What to draw.
        device: Where to draw.
        on_batch: Called with the number of new images after every batch.
    """
    latents = nn.init.trunc_normal_(
        torch.empty(config.num_images, config.latent_dim),
        a=-config.truncation,
        b=config.truncation,
        generator=torch.Generator().manual_seed(config.seed),
    )
    labels = torch.arange(config.num_images) % config.num_classes
    place(generator, device).eval()
    parts = []
    batches = zip(latents.split(config.batch_size), labels.split(config.batch_size), strict=True)
    for batch, batch_labels in batches:
        with autocast(config.precision, device):
            drawn = generator(batch.to(device), batch_labels.to(device))
        parts.append(to_uint8(drawn))
        on_batch(len(batch))
    return Images(np.concatenate(parts), labels.numpy())


def to_uint8(images: Tensor) -> UInt8:
    """Map [-1, 1] to pixels: uint8 of clamp(x · 127.5 + 128, 0, 255)."""
    pixels: UInt8 = (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).cpu().numpy()
    return np.ascontiguousarray(pixels)


def preview(images: Images, num_classes: int) -> UInt8:
    """Lay images out for people: a row per class, uint8 [H·K, W·12] or [H·K, W·12, 3]."""
    rows = []
    for label in range(num_classes):
        chosen = images.pixels[images.labels == label][:PREVIEW_COLUMNS]
        padded = np.zeros((PREVIEW_COLUMNS, *images.pixels.shape[1:]), dtype=np.uint8)
        padded[: len(chosen)] = chosen
        rows.append(np.concatenate(padded.transpose(0, 2, 3, 1), axis=1))
    sheet = np.concatenate(rows)
    return sheet[..., 0] if sheet.shape[2] == 1 else sheet
