"""The threshold attack: a large maximum score speaks for a member (Salem et al. 2019)."""

import math

import numpy as np

from trustmia.arrays import Bool, Float32, in_blocks
from trustmia.attacks.base import Attack, FittedAttack, LearnedForm
from trustmia.attacks.logits import log_odds
from trustmia.settings import Section

# A threshold that loses more than this share of its TPR − FPR by its own ties is moved below them.
LEAST_KEPT = 0.5


class Settings(Section):
    """The threshold attack."""


def above(threshold: float, *notes: str) -> FittedAttack:
    """Return the attack that calls members what has a maximum score above a threshold.

    It is infinite if no score tells the shadow's members from its non-members.
    """
    return FittedAttack(
        score=lambda scores: scores.max(axis=1),
        rank=lambda logits: in_blocks(log_odds, logits),
        decide=lambda maxima: maxima > np.float32(threshold),
        learned={"threshold": threshold if math.isfinite(threshold) else None},
        notes=notes,
    )


def fit(scores: Float32, member: Bool, settings: Settings, seed: int) -> FittedAttack:
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
    called = maxima > np.float32(threshold)
    kept = called[member].mean() - called[~member].mean()
    if kept >= LEAST_KEPT * (tpr[best] - fpr[best]):
        return above(threshold)
    return above(
        float(np.nextafter(np.float32(threshold), np.float32(-np.inf))),
        f"Threshold Attack: so many of the shadow's members have the threshold {threshold:.9g} "
        "itself as their maximum score that few or none are above; scores that equal it are "
        "called members as well.",
    )


THRESHOLD = Attack(Settings, (LearnedForm("threshold", "Threshold", fit),))
