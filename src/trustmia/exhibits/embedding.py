"""Features in the plane, neighbours beside each other."""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from trustmia.arrays import Float32
from trustmia.runtime.seeding import derive_seed

PERPLEXITY = 30.0


def tsne(features: Float32, seed: int) -> Float32:
    """Arrange images by t-SNE: those with similar features end up close together.

    Distances between far groups mean nothing. It starts from the first two principal
    components and computes on one thread: several add in another order, and the last digit of
    a sum moves the whole picture. Features without any difference, as those of a network that
    died in training, all land on the origin.

    Returns:
        float32 [N, 2], of features float32 [N, F] with N ≥ 1 and F ≥ 2.
    """
    if (features == features[0]).all():
        return np.zeros((len(features), 2), dtype=np.float32)
    method = TSNE(
        init="pca",
        perplexity=min(PERPLEXITY, (len(features) - 1) / 3),
        random_state=derive_seed(seed, "tsne") % 2**32,
        n_jobs=1,
    )
    with threadpool_limits(limits=1):
        return np.asarray(method.fit_transform(features), dtype=np.float32)
