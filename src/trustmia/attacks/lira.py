"""LiRA, the likelihood-ratio attack (Carlini et al. 2022, "Membership Inference Attacks
From First Principles").

The confidence of models that were trained on an image, and of models that were not, are
modelled by a Gaussian each, with its median as mean. The variance is each image's own or,
where models are few, a global one: that of all confidences of the side, over models, images
and views, as in the published code (which takes the IN models' for both sides). Where a
side's models say the same of an image, its own variance gives way to that of all images around
their medians, since that a few models agree does not make any other value impossible.
"""

import numpy as np

from trustmia.arrays import Float64
from trustmia.attacks.reference_base import ReferenceAttack, ReferenceSettings, Variance
from trustmia.signals.summaries import Side, Summary, resolution


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
    inside = log_density(summary.target, summary.inside, shared)
    return (inside - log_density(summary.target, summary.outside, shared)).mean(axis=1)


def offline(summary: Summary, shared: bool) -> Float64:
    """Return −log N(φ|OUT), the mean over views: float64 [N].

    This is the published code's form: an unusual confidence speaks for a member, be it
    large or small.
    """
    return -log_density(summary.target, summary.outside, shared).mean(axis=1)


def one_sided(summary: Summary, shared: bool) -> Float64:
    """Return (φ − median OUT)/std, the mean over views: float64 [N].

    It ranks as Pr[Z ≤ φ], the paper's one-sided test (section VI-C): only a large
    confidence speaks for a member.
    """
    return standardised(summary.target, summary.outside, shared).mean(axis=1)


# With fewer reference models an image's own variance is too uncertain (section VI-C).
FEW_MODELS = 64


def shared_choices(variance: Variance, models: int) -> tuple[bool, ...]:
    """Say which variances to use: one for all images, each image's own, or both."""
    if variance == "both":
        return (False, True)
    if variance == "auto":
        return (models < FEW_MODELS,)
    return (variance == "global",)


FORMS = {"online": online, "offline": offline, "offline_one_sided": one_sided}
TITLES = {"online": "LiRA", "offline": "LiRA offline", "offline_one_sided": "LiRA one-sided"}


def _attack(form: str, shared: bool) -> ReferenceAttack:
    def score(summary: Summary, population: Summary | None, settings: ReferenceSettings) -> Float64:
        return FORMS[form](summary, shared)

    title = TITLES[form] + (", global variance" if shared else "")
    # One model has no spread of its own.
    return ReferenceAttack(title, True, form == "online", False, score, 1 if shared else 2)


def form_name(form: str, shared: bool) -> str:
    """Return the name of a form of LiRA, as results have it."""
    return f"lira_{form}{'_global_variance' if shared else ''}"


LIRA = {
    form_name(form, shared): _attack(form, shared) for form in FORMS for shared in (False, True)
}


def chosen_forms(settings: ReferenceSettings, models: int) -> tuple[str, ...]:
    """Return the forms of LiRA that settings ask for.

    Args:
        settings: Settings of the attacks.
        models: R, how many reference models there are.
    """
    choices = shared_choices(settings.lira_variance, models)
    return tuple(form_name(form, shared) for form in FORMS for shared in choices)
