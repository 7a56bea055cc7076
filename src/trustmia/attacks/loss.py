"""The loss attack: a small loss of the target speaks for a member (Yeom et al. 2018)."""

from trustmia.arrays import Float64
from trustmia.attacks.base import Attack, ComparedForm
from trustmia.settings import Section
from trustmia.signals.confidence import log_probability
from trustmia.signals.summaries import Summary


class Settings(Section):
    """The loss attack."""


def score(x: Summary, z: Summary | None, settings: Settings) -> Float64:
    """Return the target's negative loss, the mean over views: float64 [N]."""
    return log_probability(x.target).mean(axis=1)


LOSS = Attack(Settings, (ComparedForm("loss", "Loss", frozenset(), score),))
