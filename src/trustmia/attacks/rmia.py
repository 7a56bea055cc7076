"""RMIA, the robust attack (Zarifzadeh, Liu, Shokri 2024, "Low-Cost High-Power Membership
Inference Attacks").

An image is compared with population images z, which no model was trained on: its score is
the share of z for which (Pr(x|θ)/Pr(x)) / (Pr(z|θ)/Pr(z)) exceeds γ (eq. 4). Many images
exceed the same share, all of them the most telling ones; these are ranked by Pr(x|θ)/Pr(x)
itself, in which the share of a single view never falls.
"""

from collections.abc import Callable

import numpy as np

from trustmia.arrays import Float64
from trustmia.attacks.reference_base import ReferenceAttack, ReferenceSettings
from trustmia.signals.confidence import SMALLEST, probability
from trustmia.signals.summaries import Summary


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
        ratio: float64 [N, A], Pr(x|θ)/Pr(x).
        population_ratio: float64 [Z, A], Pr(z|θ)/Pr(z).
        gamma: Above 0.

    Returns:
        float64 [N] in [0, 1], the mean over views; equal where the numbers exceeded are.
    """
    exceeded = np.zeros(len(ratio), np.int64)
    # A quotient beyond float64 exceeds them all.
    with np.errstate(over="ignore"):
        for own, others in zip((ratio / gamma).T, np.sort(population_ratio, axis=0).T, strict=True):
            exceeded += np.searchsorted(others, own, side="left")
    return exceeded / population_ratio.size


def _ratio(target: Float64, prior: Float64) -> Float64:
    """Return Pr(x|θ)/Pr(x): 1 where both are too small for float64."""
    return np.maximum(probability(target), SMALLEST) / np.maximum(prior, SMALLEST)


def offline_ratio(summary: Summary, settings: ReferenceSettings) -> Float64:
    """Return Pr(x|θ)/Pr(x) from OUT models alone: float64 [N, A]."""
    prior = offline_prior(summary.outside.probability, settings.rmia_a)
    return _ratio(summary.target, prior)


def online_ratio(summary: Summary, settings: ReferenceSettings) -> Float64:
    """Return Pr(x|θ)/Pr(x) with Pr(x) the mean of IN and OUT models: float64 [N, A]."""
    prior = (summary.inside.probability + summary.outside.probability) / 2
    return _ratio(summary.target, prior)


def population_ratio(population: Summary, settings: ReferenceSettings) -> Float64:
    """Return Pr(z|θ)/Pr(z) for the online form: float64 [Z, A].

    No model was trained on a population image, so its Pr(z) is that of the OUT models.
    """
    return _ratio(population.target, population.outside.probability)


Ratio = Callable[[Summary, ReferenceSettings], Float64]


def _attack(title: str, needs_inside: bool, ratio: Ratio, of_population: Ratio) -> ReferenceAttack:
    def score(x: Summary, z: Summary | None, settings: ReferenceSettings) -> Float64:
        assert z is not None
        return share_exceeded(ratio(x, settings), of_population(z, settings), settings.rmia_gamma)

    def tie_break(x: Summary, z: Summary | None, settings: ReferenceSettings) -> Float64:
        return np.log(ratio(x, settings)).mean(axis=1)

    return ReferenceAttack(title, True, needs_inside, True, score, tie_break=tie_break)


RMIA = {
    "rmia_online": _attack("RMIA", True, online_ratio, population_ratio),
    "rmia_offline": _attack("RMIA offline", False, offline_ratio, offline_ratio),
}
