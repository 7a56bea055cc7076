"""Corruptions of normalised images, as in the paper (section 5)."""

import numpy as np

from trustmia.arrays import Float32, UInt8

SCALE = 255.0


def permute_pixels(pixels: UInt8, rng: np.random.Generator) -> UInt8:
    """Shuffle the pixels of each image with a permutation of its own.

    Args:
        pixels: uint8 [N, C, H, W]. The channels of a pixel stay together.
        rng: Source of the permutations.

    Returns:
        uint8 [N, C, H, W].
    """
    count, channels = pixels.shape[:2]
    flat = pixels.reshape(count, channels, -1)
    order = rng.permuted(np.tile(np.arange(flat.shape[2]), (count, 1)), axis=1)
    shuffled: UInt8 = np.take_along_axis(flat, order[:, None, :], axis=2)
    return shuffled.reshape(pixels.shape)


def normalization(
    mean: tuple[float, ...], std: tuple[float, ...], image_set: str
) -> tuple[Float32, Float32]:
    """Return the affine map from uint8 pixels to a model's input for an image set.

    Ordinary images become (x/255 − mean)/std. `scaled` images are those times 255, and
    `no_normalization` images are x/255, the input that a forgotten normalisation gives.

    Returns:
        `factor` and `offset`, float32 [C]: input = pixel · factor + offset.
    """
    centre, spread = np.asarray(mean), np.asarray(std)
    factor, offset = 1 / (255.0 * spread), -centre / spread
    if image_set == "scaled":
        factor, offset = factor * SCALE, offset * SCALE
    elif image_set == "no_normalization":
        factor, offset = np.full_like(spread, 1 / 255.0), np.zeros_like(spread)
    return factor.astype(np.float32), offset.astype(np.float32)
