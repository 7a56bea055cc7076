"""RMIA, the robust attack (Zarifzadeh, Liu, Shokri 2024, "Low-Cost High-Power Membership
Inference Attacks").

An image is compared with population images z, which no model was trained on: its score is
the share of z for which (Pr(x|θ)/Pr(x)) / (Pr(z|θ)/Pr(z)) exceeds γ (eq. 4).
"""

import numpy as np

from trustmia.arrays import Float64
from trustmia.attacks.reference.base import ReferenceAttack, ReferenceSettings
from trustmia.attacks.reference.confidence import SMALLEST, probability
from trustmia.attacks.reference.summary import Summary


def offline_prior(mean_out: Float64, a: float) -> Float64:
    """Return Pr(x) from models that were not trained on x: ((1+a)·mean + 1−a)/2 (eq. 10).

    Args:
        mean_out: float64, mean probability of the true class over OUT models.
        a: In [0, 1]; the smaller, the more the IN models' probability is taken for 1.
    """
    return ((1 + a) * mean_out + (1 - a)) / 2


def share_exceeded(ratio: Float64, population_ratio: Float64, gamma: float) -> Float64:
    """Return for each image the share of population images that it exceeds γ-fold.

    Sorting the population once answers for every image by bisection, in
    O((N + Z) log Z) time and O(N + Z) memory.

    Args:
        ratio: float64 [N], Pr(x|θ)/Pr(x).
        population_ratio: float64 [Z], Pr(z|θ)/Pr(z).
        gamma: Above 0.

    Returns:
        float64 [N] in [0, 1].
    """
    ordered = np.sort(population_ratio)
    # A quotient beyond float64 exceeds them all.
    with np.errstate(over="ignore"):
        return np.searchsorted(ordered, ratio / gamma, side="left") / len(ordered)


def _score(
    prior: Float64, population_prior: Float64, x: Summary, z: Summary, gamma: float
) -> Float64:
    ratio = _ratio(x.target, prior)
    population_ratio = _ratio(z.target, population_prior)
    views = range(ratio.shape[1])
    shares = [share_exceeded(ratio[:, v], population_ratio[:, v], gamma) for v in views]
    return np.mean(shares, axis=0)


def _ratio(target: Float64, prior: Float64) -> Float64:
    """Return Pr(x|θ)/Pr(x): 1 where both are too small for float64."""
    return np.maximum(probability(target), SMALLEST) / np.maximum(prior, SMALLEST)


def offline(summary: Summary, population: Summary | None, settings: ReferenceSettings) -> Float64:
    """Return the score from OUT models alone: float64 [N]."""
    assert population is not None
    priors = [
        offline_prior(part.outside.probability, settings.rmia_a) for part in (summary, population)
    ]
    return _score(priors[0], priors[1], summary, population, settings.rmia_gamma)


def online(summary: Summary, population: Summary | None, settings: ReferenceSettings) -> Float64:
    """Return the score with Pr(x) the mean of IN and OUT models: float64 [N].

    No model was trained on a population image, so its Pr(z) is that of the OUT models.
    """
    assert population is not None
    prior = (summary.inside.probability + summary.outside.probability) / 2
    return _score(prior, population.outside.probability, summary, population, settings.rmia_gamma)


RMIA = {
    "rmia_online": ReferenceAttack("RMIA", True, True, True, online),
    "rmia_offline": ReferenceAttack("RMIA offline", True, False, True, offline),
}
