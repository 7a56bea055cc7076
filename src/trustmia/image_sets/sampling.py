"""Which images of a large set are shown."""

import numpy as np

from trustmia.arrays import Int64
from trustmia.runtime.seeding import numpy_generator


def draw_at_most(count: int, max_images: int | None, seed: int, name: str) -> Int64:
    """Return the indices of the images of a set that are shown, sorted.

    Args:
        count: Number of images in the set.
        max_images: How many are shown at most; all if None.
        seed: The experiment's seed.
        name: The set's name, which the draw depends on.

    Returns:
        int64 [min(count, max_images)].
    """
    if max_images is None or count <= max_images:
        return np.arange(count, dtype=np.int64)
    rng = numpy_generator(seed, "image_set", name)
    return np.sort(rng.choice(count, max_images, replace=False)).astype(np.int64)
