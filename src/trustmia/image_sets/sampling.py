"""Which images of a large set are shown."""

import numpy as np

from trustmia.arrays import Int64
from trustmia.runtime.seeding import numpy_generator


def draw_at_most(count: int, max_images: int | None, seed: int, name: str) -> Int64:
    """Return which of a set's images are shown, sorted: int64 [min(count, max_images)].

    All are if `max_images` is None. The draw depends on the seed and the set's name.
    """
    if max_images is None or count <= max_images:
        return np.arange(count, dtype=np.int64)
    rng = numpy_generator(seed, "image_set", name)
    return np.sort(rng.choice(count, max_images, replace=False)).astype(np.int64)
