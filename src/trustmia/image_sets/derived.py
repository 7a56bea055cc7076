"""Registry of the image sets that are made of held-out or generated images."""

from collections.abc import Callable
from dataclasses import dataclass

from trustmia.image_sets.corruptions import permute_pixels
from trustmia.images.base import Images
from trustmia.images.sampling import draw_at_most
from trustmia.seeding import numpy_generator


@dataclass(frozen=True)
class ImageSetInputs:
    """What an image set may be made of.

    Attributes:
        non_members: The attack set's held-out images.
        fakes: Reads the generated images.
        max_fakes: How many generated images are shown at most; all if None.
        seed: The experiment's seed.
    """

    non_members: Images
    fakes: Callable[[], Images]
    max_fakes: int | None
    seed: int


def _held_out(inputs: ImageSetInputs) -> Images:
    return inputs.non_members


def _permuted(inputs: ImageSetInputs) -> Images:
    images = inputs.non_members
    rng = numpy_generator(inputs.seed, "permuted")
    return Images(permute_pixels(images.pixels, rng), images.labels)


def _fake(inputs: ImageSetInputs) -> Images:
    fakes = inputs.fakes()
    return fakes.take(draw_at_most(len(fakes), inputs.max_fakes, inputs.seed, "fake"))


# `scaled` and `no_normalization` are held-out images that are normalised in another way
# (see `corruptions.normalization`).
DERIVED_SETS: dict[str, Callable[[ImageSetInputs], Images]] = {
    "original": _held_out,
    "permuted": _permuted,
    "scaled": _held_out,
    "no_normalization": _held_out,
    "fake": _fake,
}

# Sets made of held-out images, one by one and in their order; these keep their label. All
# others have none that a model could have been trained with.
OF_HELD_OUT = ("original", "permuted", "scaled", "no_normalization")
