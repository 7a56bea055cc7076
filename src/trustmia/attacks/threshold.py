"""The threshold attack: a large maximum score speaks for a member (Salem et al. 2019)."""

import math
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float32
from trustmia.attacks.base import Attack, AttackSettings


@dataclass(frozen=True)
class ThresholdAttack:
    """Calls an image a member if its maximum prediction score is above a threshold.

    Attributes:
        threshold: Infinite if nobody is called a member: no score tells the shadow's
            members from its non-members.
    """

    threshold: float

    def score(self, scores: Float32) -> Float32:
        """See `FittedAttack.score`: the maximum prediction score."""
        maximum: Float32 = scores.max(axis=1)
        return maximum

    def decide(self, attack_scores: Float32) -> Bool:
        """See `FittedAttack.decide`."""
        return attack_scores > np.float32(self.threshold)

    def parameters(self) -> dict[str, float | None]:
        """See `FittedAttack.parameters`."""
        return {"threshold": self.threshold if math.isfinite(self.threshold) else None}


def fit(scores: Float32, member: Bool, settings: AttackSettings) -> ThresholdAttack:
    """Choose the point of the shadow ROC curve with the largest TPR − FPR."""
    from sklearn.metrics import roc_curve

    fpr, tpr, thresholds = roc_curve(member, scores.max(axis=1))
    return ThresholdAttack(float(thresholds[np.argmax(tpr - fpr)]))


THRESHOLD = Attack("Threshold Attack", fit)
