"""The loss attack, and the same calibrated by how hard an image is."""

from trustmia.arrays import Float64
from trustmia.attacks.reference_base import ReferenceAttack, ReferenceSettings
from trustmia.signals.confidence import log_probability
from trustmia.signals.summaries import Summary


def loss(summary: Summary, population: Summary | None, settings: ReferenceSettings) -> Float64:
    """Return the negative loss of the target: float64 [N] (Yeom et al. 2018)."""
    return log_probability(summary.target).mean(axis=1)


def difficulty(
    summary: Summary, population: Summary | None, settings: ReferenceSettings
) -> Float64:
    """Return by how much the target's loss is below the OUT models': float64 [N].

    Watson et al. 2022, "On the Importance of Difficulty Calibration", eq. 5.
    """
    own = log_probability(summary.target)
    return (own - summary.outside.log_probability).mean(axis=1)


BASELINES = {
    "loss": ReferenceAttack("Loss", False, False, False, loss),
    "difficulty": ReferenceAttack("Difficulty calibration", True, False, False, difficulty),
}
