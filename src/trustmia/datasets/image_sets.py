"""Registry of the image sets that the target is shown as non-members."""

from collections.abc import Callable
from dataclasses import dataclass

from trustmia.datasets import foreign
from trustmia.datasets.base import Dataset, Images
from trustmia.datasets.corruptions import permute_pixels
from trustmia.seeding import numpy_generator


@dataclass(frozen=True)
class ImageSetInputs:
    """What an image set may be made of.

    Attributes:
        dataset: The target's data set.
        non_members: The attack set's held-out images.
        fakes: Reads the generated images.
        num_patches: Number of patches in `patches`.
        seed: The experiment's seed.
    """

    dataset: Dataset
    non_members: Images
    fakes: Callable[[], Images]
    num_patches: int
    seed: int


def _held_out(inputs: ImageSetInputs) -> Images:
    return inputs.non_members


def _permuted(inputs: ImageSetInputs) -> Images:
    images = inputs.non_members
    rng = numpy_generator(inputs.seed, "permuted")
    return Images(permute_pixels(images.pixels, rng), images.labels)


def _fake(inputs: ImageSetInputs) -> Images:
    return inputs.fakes()


def _digits(inputs: ImageSetInputs) -> Images:
    return foreign.digits(inputs.dataset.channels, inputs.dataset.size)


def _patches(inputs: ImageSetInputs) -> Images:
    shape = inputs.dataset.channels, inputs.dataset.size
    return foreign.patches(inputs.num_patches, *shape, numpy_generator(inputs.seed, "patches"))


IMAGE_SETS: dict[str, Callable[[ImageSetInputs], Images]] = {
    "original": _held_out,
    "permuted": _permuted,
    "scaled": _held_out,
    "no_normalization": _held_out,
    "fake": _fake,
    "digits": _digits,
    "patches": _patches,
}
