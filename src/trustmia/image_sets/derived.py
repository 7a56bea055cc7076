"""Image sets that are made of held-out or generated images (the paper's section 5)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import UInt8
from trustmia.image_sets import FAKE
from trustmia.image_sets.sampling import draw_at_most
from trustmia.images.base import Images
from trustmia.runtime.seeding import numpy_generator


@dataclass(frozen=True)
class ShownInputs:
    """What an image set may be made of when models are shown it.

    Attributes:
        held_out: The attack set's non-members.
        fakes: Reads the generated images.
        max_fakes: How many generated images are shown at most; all if None.
        seed: The experiment's seed.
    """

    held_out: Images
    fakes: Callable[[], Images]
    max_fakes: int | None
    seed: int


def held_out(inputs: ShownInputs) -> Images:
    """Return the held-out images as they are."""
    return inputs.held_out


def permuted(inputs: ShownInputs) -> Images:
    """Return the held-out images, the pixels of each shuffled."""
    images = inputs.held_out
    rng = numpy_generator(inputs.seed, "permuted")
    return Images(permute_pixels(images.pixels, rng), images.labels)


def fakes(inputs: ShownInputs) -> Images:
    """Return generated images."""
    images = inputs.fakes()
    return images.take(draw_at_most(len(images), inputs.max_fakes, inputs.seed, FAKE))


def permute_pixels(pixels: UInt8, rng: np.random.Generator) -> UInt8:
    """Shuffle the pixels of each image, uint8 [N, C, H, W], with a permutation of its own.

    The channels of a pixel stay together; `rng` gives the permutations.
    """
    count, channels = pixels.shape[:2]
    flat = pixels.reshape(count, channels, -1)
    order = rng.permuted(np.tile(np.arange(flat.shape[2]), (count, 1)), axis=1)
    shuffled: UInt8 = np.take_along_axis(flat, order[:, None, :], axis=2)
    return shuffled.reshape(pixels.shape)
