"""The loss attack calibrated by how hard an image is (Watson et al. 2022, "On the Importance of
Difficulty Calibration in Membership Inference Attacks").
"""

from trustmia.arrays import Float64
from trustmia.attacks.base import Attack, ComparedForm, Need
from trustmia.settings import Section
from trustmia.signals.confidence import log_probability
from trustmia.signals.summaries import Summary


class Settings(Section):
    """Difficulty calibration."""


def score(x: Summary, z: Summary | None, settings: Settings) -> Float64:
    """Return by how much the target's loss is below the OUT models': float64 [N] (eq. 5)."""
    return (log_probability(x.target) - x.out_models.log_probability).mean(axis=1)


NEEDS = frozenset({Need.OUT_MODELS})
DIFFICULTY = Attack(
    Settings,
    (ComparedForm("difficulty", "Difficulty calibration", NEEDS, score),),
    fewest=lambda settings: 2,
)
