"""Registry of the image sets that have nothing to do with the target's data set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trustmia.datasets import DATASETS, bundled
from trustmia.datasets.base import Pictures
from trustmia.images.base import Images
from trustmia.seeding import numpy_generator


@dataclass(frozen=True)
class PublishedSet:
    """Training images of a published data set, or of some of its classes.

    Attributes:
        dataset: Name of the data set.
        classes: The classes that are shown; all of them if None.
    """

    dataset: str
    classes: tuple[str, ...] | None = None

    def read(self, data: Path) -> Pictures:
        """Read the images or list their files; labels are those of the data set."""
        source = DATASETS[self.dataset]
        pictures = source.read(data, "train")
        if self.classes is None:
            return pictures
        shown = [source.classes.index(name) for name in self.classes]
        return pictures.take(np.flatnonzero(np.isin(pictures.labels, shown)))


@dataclass(frozen=True)
class BundledSetInputs:
    """What an image set that comes with a package is made from.

    Attributes:
        channels: Channels of the images.
        size: Height and width of the images.
        num_patches: Number of patches in `patches`.
        seed: The experiment's seed.
    """

    channels: int
    size: int
    num_patches: int
    seed: int


def _digits(inputs: BundledSetInputs) -> Images:
    return bundled.digits(inputs.channels, inputs.size)


def _patches(inputs: BundledSetInputs) -> Images:
    rng = numpy_generator(inputs.seed, "patches")
    return bundled.patches(inputs.num_patches, inputs.channels, inputs.size, rng)


BUNDLED_SETS: dict[str, Callable[[BundledSetInputs], Images]] = {
    "digits": _digits,
    "patches": _patches,
}

PUBLISHED_SETS: dict[str, PublishedSet] = {
    "fashion_mnist": PublishedSet("fashion_mnist"),
    "cifar10": PublishedSet("cifar10"),
    "cifar100": PublishedSet("cifar100"),
    # Without monkeys, the one class that CIFAR-10 does not have.
    "stl10": PublishedSet(
        "stl10",
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "ship", "truck"),
    ),
    "svhn": PublishedSet("svhn"),
    "stanford_dogs": PublishedSet("stanford_dogs"),
    "afhq_dogs": PublishedSet("afhq", ("dog",)),
    "afhq_cats": PublishedSet("afhq", ("cat",)),
    "afhq_wilds": PublishedSet("afhq", ("wild",)),
    "afhq_non_dogs": PublishedSet("afhq", ("cat", "wild")),
}
