"""RMIA, the robust attack (Zarifzadeh, Liu, Shokri 2024, "Low-Cost High-Power Membership
Inference Attacks").

An image is compared with population images z, which no model was trained on: its score is
the share of z for which (Pr(x|θ)/Pr(x)) / (Pr(z|θ)/Pr(z)) exceeds γ (eq. 4). Many images
exceed the same share, all of them the most telling ones; these are ranked by Pr(x|θ)/Pr(x)
itself, in which the share of a single view never falls.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from trustmia.arrays import Bool, Float64
from trustmia.attacks.base import Attack, ComparedForm, Need, Refused
from trustmia.settings import Section
from trustmia.signals.comparison import stand_in
from trustmia.signals.confidence import SMALLEST, probability
from trustmia.signals.many_models import ManyModels
from trustmia.signals.summaries import Summary

# Candidates for a, where it is tuned.
TUNED_A = tuple(round(0.1 * step, 1) for step in range(11))


class Settings(Section):
    """RMIA."""

    a: Literal["tune"] | Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.3, description="a of the offline form, or tune: chosen on a reference model"
    )
    gamma: Annotated[float, Field(gt=0, le=1e6)] = Field(
        default=1.0,
        description="how many times an image's ratio has to exceed a population image's",
    )


def offline_prior(mean_out: Float64, a: float) -> Float64:
    """Return Pr(x) from models that were not trained on x: ((1+a)·mean + 1−a)/2 (eq. 10).

    Args:
        mean_out: float64 in [0, 1], mean probability of the true class over OUT models.
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
        gamma: γ, above 0.

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


def offline_ratio(summary: Summary, settings: Settings) -> Float64:
    """Return Pr(x|θ)/Pr(x) from OUT models alone: float64 [N, A]."""
    assert settings.a != "tune"
    return _ratio(summary.target, offline_prior(summary.out_models.probability, settings.a))


def online_ratio(summary: Summary, settings: Settings) -> Float64:
    """Return Pr(x|θ)/Pr(x) with Pr(x) the mean of IN and OUT models: float64 [N, A]."""
    prior = (summary.in_models.probability + summary.out_models.probability) / 2
    return _ratio(summary.target, prior)


def population_ratio(population: Summary, settings: Settings) -> Float64:
    """Return Pr(z|θ)/Pr(z) for the online form: float64 [Z, A].

    No model was trained on a population image, so its Pr(z) is that of the OUT models.
    """
    return _ratio(population.target, population.out_models.probability)


Ratio = Callable[[Summary, Settings], Float64]


def _form(
    name: str, title: str, ratio: Ratio, of_population: Ratio, *needs: Need, **more: Any
) -> ComparedForm:
    def score(x: Summary, z: Summary | None, settings: Settings) -> Float64:
        assert z is not None
        return share_exceeded(ratio(x, settings), of_population(z, settings), settings.gamma)

    def tie_break(x: Summary, z: Summary | None, settings: Settings) -> Float64:
        return np.log(ratio(x, settings)).mean(axis=1)

    every = frozenset({Need.OUT_MODELS, Need.POPULATION, *needs})
    return ComparedForm(name, title, every, score, tie_break=tie_break, **more)


ONLINE = _form("rmia_online", "RMIA", online_ratio, population_ratio, Need.IN_MODELS)
OFFLINE = _form(
    "rmia_offline",
    "RMIA offline",
    offline_ratio,
    offline_ratio,
    learned=lambda settings: {"rmia_a": settings.a},
)


def tuned(settings: Settings, signals: ManyModels, target: int) -> Settings:
    """Choose the a in 0, 0.1, …, 1 with which RMIA offline does best against a reference.

    The first model that is unrelated to the target plays it, as the auditor knows its
    membership; the others, but for those related to it, are its reference models
    (Zarifzadeh et al. 2024, section 3). It is ranked among the target's members, and among
    the other images: where models share images out between them, the a that suits its
    members does not suit the target's. Of equally good ones, the smallest.

    Raises:
        Refused: There are no population images, or too few reference models.
    """
    if settings.a != "tune":
        return settings
    if signals.population is None:
        raise Refused("rmia.a", "cannot be tuned without population images; give a number")
    audit = stand_in(signals, target)
    if audit is None or OFFLINE.lacks(audit) is not None:
        raise Refused(
            "rmia.a",
            "cannot be tuned: it takes a reference model to play the target, and two "
            "others that are not its complement; give a number, or more reference models",
        )
    own = signals.member[target, signals.audited]

    def area(a: float) -> Fraction:
        ranking = OFFLINE.scores(audit, settings.model_copy(update={"a": a}))[1][signals.audited]
        scored = ~np.isnan(ranking)
        parts = [scored & own, scored & ~own]
        return sum((_area(ranking[part], audit.member[part]) for part in parts), Fraction())

    return settings.model_copy(update={"a": max(TUNED_A, key=area)})


def _area(ranking: Float64, member: Bool) -> Fraction:
    """Return the AUROC, as Mann and Whitney count it; 0 where all images or none are members.

    It is exact: rounding must not choose among equally good settings.
    """
    members, others = ranking[member], np.sort(ranking[~member])
    below = sum(np.searchsorted(others, members, side=side).sum() for side in ("left", "right"))
    return Fraction(int(below), max(2 * len(members) * len(others), 1))


RMIA = Attack(
    Settings,
    (ONLINE, OFFLINE),
    # Where a reference model plays the target, its complement is left out.
    fewest=lambda settings: 4 if settings.a == "tune" else 2,
    tuned=tuned,
)
