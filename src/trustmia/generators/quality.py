"""How good fake images are, seen by a classifier that knows the real ones."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trustmia.arrays import Int64

# What `quality` returns, where there is no judge.
UNKNOWN: dict[str, float | None] = {"recognised": None, "frechet_distance": None}


@dataclass(frozen=True)
class Seen:
    """What the judge saw: features float [N, F], predicted and true classes int64 [N]."""

    features: npt.NDArray[np.floating]
    predicted: Int64
    labels: Int64


def quality(images: Seen, reference: Seen) -> dict[str, float | None]:
    """Return how well images pass for the real images of `reference`.

    Returns:
        `recognised`, the share of images that the judge takes for their class (None if
        they have no classes), and `frechet_distance` between their features and those of
        the reference images.
    """
    classed = bool((images.labels >= 0).all())
    return {
        "recognised": float((images.predicted == images.labels).mean()) if classed else None,
        "frechet_distance": frechet_distance(images.features, reference.features),
    }


def frechet_distance(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    """Return the Fréchet distance of Gaussians fitted to two sets of features.

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Heusel et al. 2017, eq. 6), with the trace of
    the root taken from the symmetric Σ₁^½ Σ₂ Σ₁^½, which has the same eigenvalues. Features are
    float [N, F] and [M, F], both of two images or more.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    difference = first.mean(axis=0) - second.mean(axis=0)
    covariance1 = np.atleast_2d(np.cov(first, rowvar=False))
    covariance2 = np.atleast_2d(np.cov(second, rowvar=False))
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariance2 @ root)
    trace_of_root = np.sqrt(np.maximum(product, 0)).sum()
    traces = np.trace(covariance1) + np.trace(covariance2)
    return float(max(difference @ difference + traces - 2 * trace_of_root, 0.0))
