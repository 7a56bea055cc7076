"""LiRA, the likelihood-ratio attack (Carlini et al. 2022, "Membership Inference Attacks
From First Principles").

The confidence of models that were trained on an image, and of models that were not, are
modelled by a Gaussian each, with its median as mean. The variance is each image's own or,
where models are few, a global one: that of all confidences of the side, over models, images
and views, as in the published code (which takes the IN models' for both sides). Where a
side's models say the same of an image, its own variance gives way to that of all images around
their medians, since that a few models agree does not make any other value impossible.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from trustmia.arrays import Float64
from trustmia.attacks.base import Attack, ComparedForm, Need
from trustmia.settings import Section
from trustmia.signals.summaries import Side, Summary, resolution

# With fewer reference models an image's own variance is too uncertain (section VI-C).
FEW_MODELS = 64


class Settings(Section):
    """LiRA."""

    variance: Literal["per_example", "global", "auto", "both"] = Field(
        default="both",
        description="per_example: each image's own variance; global: one for all images; auto: "
        f"global below {FEW_MODELS} reference models; both: side by side",
    )


def std_of(side: Side, shared: bool) -> Float64:
    """Return the standard deviations of one side's Gaussians: float64 [N, A], above 0."""
    if shared:
        return np.broadcast_to(side.grand_std, side.std.shape)
    return np.where(side.flat, side.spread, side.std)


def standardised(confidence: Float64, side: Side, shared: bool) -> Float64:
    """Return (φ − median)/std, float64 [N, A]; 0 where only rounding tells φ from the median."""
    deviation = confidence - side.median
    deviation[np.abs(deviation) <= resolution(side.median)] = 0
    return deviation / std_of(side, shared)


def log_density(confidence: Float64, side: Side, shared: bool) -> Float64:
    """Return the log density of confidences, float64 [N, A], under one side's Gaussians."""
    z = standardised(confidence, side, shared)
    return -np.log(std_of(side, shared)) - 0.5 * np.log(2 * np.pi) - 0.5 * z**2


def online(summary: Summary, shared: bool) -> Float64:
    """Return log N(φ|IN) − log N(φ|OUT), the mean over views: float64 [N] (eq. 4)."""
    log_in = log_density(summary.target, summary.in_models, shared)
    return (log_in - log_density(summary.target, summary.out_models, shared)).mean(axis=1)


def offline(summary: Summary, shared: bool) -> Float64:
    """Return −log N(φ|OUT), the mean over views: float64 [N].

    This is the published code's form: an unusual confidence speaks for a member, be it
    large or small.
    """
    return -log_density(summary.target, summary.out_models, shared).mean(axis=1)


def one_sided(summary: Summary, shared: bool) -> Float64:
    """Return (φ − median OUT)/std, the mean over views: float64 [N].

    It ranks as Pr[Z ≤ φ], the paper's one-sided test (section VI-C): only a large
    confidence speaks for a member.
    """
    return standardised(summary.target, summary.out_models, shared).mean(axis=1)


FORMS: dict[str, tuple[str, Callable[[Summary, bool], Float64]]] = {
    "lira_online": ("LiRA", online),
    "lira_offline": ("LiRA offline", offline),
    "lira_offline_one_sided": ("LiRA one-sided", one_sided),
}
SHARED = "_global_variance"


def _form(name: str, shared: bool) -> ComparedForm:
    title, of = FORMS[name]

    def score(x: Summary, z: Summary | None, settings: Settings) -> Float64:
        return of(x, shared)

    needs = {Need.OUT_MODELS} | ({Need.IN_MODELS} if of is online else set())
    # One model has no spread of its own.
    name, title, fewest = (
        (name + SHARED, f"{title}, global variance", 1) if shared else (name, title, 2)
    )
    return ComparedForm(name, title, frozenset(needs), score, fewest)


def chosen(settings: Settings, models: int) -> list[str]:
    """Return the forms that settings ask for, given the number of reference models."""
    endings = {
        "both": ("", SHARED),
        "auto": (SHARED if models < FEW_MODELS else "",),
        "global": (SHARED,),
        "per_example": ("",),
    }
    return [name + ending for name in FORMS for ending in endings[settings.variance]]


LIRA = Attack(
    Settings,
    tuple(_form(name, shared) for name in FORMS for shared in (False, True)),
    chosen,
    fewest=lambda settings: 4 if settings.variance == "per_example" else 2,
)
