"""Image sets that have nothing to do with the target's data set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trustmia.arrays import UInt8
from trustmia.datasets import DATASETS
from trustmia.datasets.base import Pictures
from trustmia.image_sets import ImageSet
from trustmia.image_sets.sampling import draw_at_most
from trustmia.images.base import Images
from trustmia.runtime.seeding import numpy_generator

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601, as in Pillow's mode "L"


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


def digits(inputs: ForeignInputs) -> Images:
    """Return scikit-learn's 1,797 handwritten digits, enlarged bilinearly."""
    import torch
    from sklearn.datasets import load_digits
    from torch.nn import functional as F

    grey = torch.from_numpy(load_digits().images).float() * (255 / 16)
    size = inputs.size, inputs.size
    large = F.interpolate(grey[:, None], size, mode="bilinear", align_corners=False)
    return _unlabelled(large.round().clamp(0, 255).byte().numpy(), inputs.channels)


def patches(inputs: ForeignInputs) -> Images:
    """Cut grey patches from scikit-learn's two photographs at random places, half from each."""
    from sklearn.datasets import load_sample_images

    rng = numpy_generator(inputs.seed, "patches")
    photographs = [
        np.rint(photo @ np.asarray(GREY_WEIGHTS)).astype(np.uint8)
        for photo in load_sample_images().images
    ]
    parts = []
    counts = np.array_split(np.arange(inputs.num_patches), len(photographs))
    for part, photo in zip(counts, photographs):
        windows = np.lib.stride_tricks.sliding_window_view(photo, (inputs.size, inputs.size))
        rows = rng.integers(windows.shape[0], size=len(part))
        columns = rng.integers(windows.shape[1], size=len(part))
        parts.append(windows[rows, columns])
    return _unlabelled(np.concatenate(parts)[:, None], inputs.channels)


def _unlabelled(grey: UInt8, channels: int) -> Images:
    """Repeat the grey value in all channels; label -1 is no class of the target's."""
    pixels = np.ascontiguousarray(np.repeat(grey, channels, axis=1))
    return Images(pixels, np.full(len(pixels), -1, dtype=np.int64))


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
