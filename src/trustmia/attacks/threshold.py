"""The threshold attack: a large maximum score speaks for a member (Salem et al. 2019)."""

import math
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float32, Float64
from trustmia.attacks import logits as exact
from trustmia.attacks.base import Attack, LearnedForm
from trustmia.settings import Section

# A threshold that loses more than this share of its TPR − FPR by its own ties is moved below them.
LEAST_KEPT = 0.5


class Settings(Section):
    """The threshold attack."""


@dataclass(frozen=True)
class ThresholdAttack:
    """Calls an image a member if its maximum prediction score is above a threshold.

    Attributes:
        threshold: Infinite if nobody is called a member: no score tells the shadow's
            members from its non-members.
        tied: The shadow's best threshold, if the largest float32 below it was taken instead.
    """

    threshold: float
    tied: float | None = None

    def score(self, scores: Float32) -> Float32:
        """See `FittedAttack.score`: the maximum prediction score."""
        maximum: Float32 = scores.max(axis=1)
        return maximum

    def rank(self, logits: Float32 | Float64) -> Float64:
        """See `FittedAttack.rank`: the log-odds of the maximum prediction score."""
        return exact.in_blocks(logits, exact.log_odds)

    def decide(self, attack_scores: Float32) -> Bool:
        """See `FittedAttack.decide`."""
        return attack_scores > np.float32(self.threshold)

    def parameters(self) -> dict[str, float | None]:
        """See `FittedAttack.parameters`."""
        return {"threshold": self.threshold if math.isfinite(self.threshold) else None}

    def notes(self) -> tuple[str, ...]:
        """See `FittedAttack.notes`."""
        if self.tied is None:
            return ()
        return (
            f"Threshold Attack: so many of the shadow's members have the threshold {self.tied:.9g} "
            "itself as their maximum score that few or none are above; scores that equal it are "
            "called members as well.",
        )


def fit(scores: Float32, member: Bool, settings: Settings, seed: int) -> ThresholdAttack:
    """Choose the point of the shadow ROC curve with the largest TPR − FPR.

    At that point, scores that equal the threshold are called members; in a decision they are
    not, which as a rule concerns the one image that gave the threshold. Where scores tie
    (at 1, or rounded), it may concern all: the threshold is then moved below them.
    """
    from sklearn.metrics import roc_curve

    maxima = scores.max(axis=1)
    fpr, tpr, thresholds = roc_curve(member, maxima)
    best = int(np.argmax(tpr - fpr))
    threshold = float(thresholds[best])
    above = maxima > np.float32(threshold)
    kept = above[member].mean() - above[~member].mean()
    if kept < LEAST_KEPT * (tpr[best] - fpr[best]):
        below = np.nextafter(np.float32(threshold), np.float32(-np.inf))
        return ThresholdAttack(float(below), tied=threshold)
    return ThresholdAttack(threshold)


THRESHOLD = Attack(Settings, (LearnedForm("threshold", "Threshold", fit),))
