"""Images of other data sets that scikit-learn ships, brought to a model's input shape."""

import numpy as np

from trustmia.arrays import UInt8
from trustmia.images.base import Images

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601, as in Pillow's mode "L"


def digits(channels: int, size: int) -> Images:
    """Return scikit-learn's 1,797 handwritten digits, enlarged bilinearly.

    Args:
        channels: Channels of the result; the grey value is repeated.
        size: Height and width of the result.

    Returns:
        uint8 [1797, channels, size, size]; labels are -1, no class of the target's.
    """
    import torch
    from sklearn.datasets import load_digits
    from torch.nn import functional as F

    grey = torch.from_numpy(load_digits().images).float() * (255 / 16)
    large = F.interpolate(grey[:, None], (size, size), mode="bilinear", align_corners=False)
    return _unlabelled(large.round().clamp(0, 255).byte().numpy(), channels)


def patches(count: int, channels: int, size: int, rng: np.random.Generator) -> Images:
    """Cut grey patches from scikit-learn's two sample photographs at random places.

    Args:
        count: Number of patches, half of them from each photograph.
        channels: Channels of the result; the grey value is repeated.
        size: Height and width of a patch in pixels.
        rng: Source of the places.

    Returns:
        uint8 [count, channels, size, size]; labels are -1, no class of the target's.
    """
    from sklearn.datasets import load_sample_images

    photographs = [
        np.rint(photo @ np.asarray(GREY_WEIGHTS)).astype(np.uint8)
        for photo in load_sample_images().images
    ]
    parts = []
    for part, photo in zip(np.array_split(np.arange(count), len(photographs)), photographs):
        windows = np.lib.stride_tricks.sliding_window_view(photo, (size, size))
        rows = rng.integers(windows.shape[0], size=len(part))
        columns = rng.integers(windows.shape[1], size=len(part))
        parts.append(windows[rows, columns])
    return _unlabelled(np.concatenate(parts)[:, None], channels)


def _unlabelled(grey: UInt8, channels: int) -> Images:
    pixels = np.ascontiguousarray(np.repeat(grey, channels, axis=1))
    return Images(pixels, np.full(len(pixels), -1, dtype=np.int64))
