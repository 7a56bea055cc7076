"""Image sets that have nothing to do with the target's data set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trustmia.datasets import DATASETS
from trustmia.datasets.base import Pictures
from trustmia.image_sets import ImageSet, bundled
from trustmia.image_sets.sampling import draw_at_most
from trustmia.runtime.seeding import numpy_generator


@dataclass(frozen=True)
class ForeignInputs:
    """What an image set of other data is made from.

    Attributes:
        name: Name of the image set, which draws depend on.
        image_set: What is known of it.
        data: The folder of published data sets.
        channels: Channels of the target's images.
        size: Their height and width.
        max_images: How many images of a published set are shown at most; all if None.
        num_patches: Number of patches in `patches`.
        seed: The experiment's seed.
    """

    name: str
    image_set: ImageSet
    data: Path
    channels: int
    size: int
    max_images: int | None
    num_patches: int
    seed: int


def digits(inputs: ForeignInputs) -> Pictures:
    """Return handwritten digits."""
    return bundled.digits(inputs.channels, inputs.size)


def patches(inputs: ForeignInputs) -> Pictures:
    """Return patches of photographs."""
    rng = numpy_generator(inputs.seed, "patches")
    return bundled.patches(inputs.num_patches, inputs.channels, inputs.size, rng)


def published(inputs: ForeignInputs) -> Pictures:
    """Return training images of a published data set, or of some of its classes, or their files.

    Labels are those of the data set.
    """
    pictures = all_published(inputs.image_set, inputs.data)
    return pictures.take(draw_at_most(len(pictures), inputs.max_images, inputs.seed, inputs.name))


def all_published(image_set: ImageSet, data: Path) -> Pictures:
    """Return all images that a published set is drawn from, or their files."""
    assert image_set.dataset is not None
    source = DATASETS[image_set.dataset]
    pictures = source.read(data, "train")
    if image_set.classes is None:
        return pictures
    shown = [source.classes.index(name) for name in image_set.classes]
    return pictures.take(np.flatnonzero(np.isin(pictures.labels, shown)))
