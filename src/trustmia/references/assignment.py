"""Which reference model is trained on which of the audited images."""

import numpy as np

from trustmia.arrays import Bool
from trustmia.runtime.seeding import numpy_generator


def complementary_halves(images: int, models: int, seed: int) -> Bool:
    """Return a membership matrix in which every image is IN as often as OUT.

    Models 2k and 2k + 1 divide the images between them. A pair depends on its number and
    the seed alone, so that more models leave the first ones as they are.

    Args:
        images: N, how many images are divided; for an odd N the second half is larger by one.
        models: M, an even number.
        seed: The experiment's seed.

    Returns:
        bool [M, N], the model is trained on the image.

    Raises:
        ValueError: `models` is odd.
    """
    if models % 2:
        raise ValueError(f"{models} models are not pairs")
    member = np.zeros((models, images), dtype=np.bool_)
    for first in range(0, models, 2):
        rng = numpy_generator(seed, "references", "pair", str(first // 2))
        member[first, rng.permutation(images)[: images // 2]] = True
        member[first + 1] = ~member[first]
    return member
