"""Metrics of an attack, from its scores, its decisions and the truth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import auc, roc_curve

from trustmia.arrays import Bool, Float32, Float64, Int64
from trustmia.image_sets import MEMBERS
from trustmia.measures.ranking import Interval, area_under, draws, interval, rank, roc_of

Scores = npt.NDArray[np.floating]
TPR_OF_INTEREST = 0.95
ROC_POINTS_PER_AXIS = 200
# Metrics with an interval.
RESAMPLED = ("precision", "recall", "fpr", "advantage", "auroc")


@dataclass(frozen=True)
class Judged:
    """What an attack said of some images.

    Attributes:
        attack_scores: float32 [N], higher is more likely a member.
        decisions: bool [N], called a member.
        max_scores: float32 [N], the target's maximum prediction score.
    """

    attack_scores: Float32
    decisions: Bool
    max_scores: Float32

    def __len__(self) -> int:
        return len(self.decisions)

    def take(self, rows: Int64) -> "Judged":
        """Return the rows with these numbers."""
        return Judged(self.attack_scores[rows], self.decisions[rows], self.max_scores[rows])


@dataclass(frozen=True)
class Roc:
    """A ROC curve, from (0, 0) to (1, 1): float64 [P] each, both non-decreasing."""

    fpr: Float64
    tpr: Float64


def full_roc(members: Judged, nonmembers: Judged) -> Roc:
    """Return the ROC curve with one point per distinct attack score, and (0, 0)."""
    return roc_of_scores(members.attack_scores, nonmembers.attack_scores)


def roc_of_scores(members: Scores, nonmembers: Scores) -> Roc:
    """Return the ROC curve of attack scores, float [N] and float [M] (see `full_roc`)."""
    truth = np.zeros(len(members) + len(nonmembers), dtype=np.bool_)
    truth[: len(members)] = True
    scores = np.concatenate([members, nonmembers])
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return Roc(fpr, tpr)


def membership_metrics(members: Judged, nonmembers: Judged, roc: Roc) -> dict[str, float]:
    """Return the metrics of members against one non-member set.

    Args:
        members: The attack set's members, at least one.
        nonmembers: The non-member set, at least one.
        roc: Their `full_roc`.

    Returns:
        Fractions. `precision`, `recall`, `tpr`, `fpr`, `accuracy` and `advantage` (recall −
        FPR) follow from the decisions; precision without positives is 0. `auroc` and `aupr` are
        trapezoidal areas, the latter under scikit-learn's precision-recall curve.
        `fpr_at_95tpr` is the FPR at the first ROC point with a TPR of at least 0.95.
        `tp_mmps`, `fp_mmps`, `fn_mmps` and `tn_mmps` are the mean maximum prediction
        scores of the true and false positives and negatives, 0 for an empty group.
    """
    true_positives = int(members.decisions.sum())
    false_positives = int(nonmembers.decisions.sum())
    positives = true_positives + false_positives
    recall, fpr = true_positives / len(members), false_positives / len(nonmembers)
    correct = true_positives + len(nonmembers) - false_positives
    return {
        "precision": true_positives / positives if positives else 0.0,
        "recall": recall,
        "auroc": float(auc(roc.fpr, roc.tpr)),
        "aupr": _aupr(roc, len(members), len(nonmembers)),
        "fpr_at_95tpr": float(roc.fpr[np.argmax(roc.tpr >= TPR_OF_INTEREST)]),
        "fpr": fpr,
        "tpr": recall,
        "advantage": recall - fpr,
        "tp_mmps": _mean(members.max_scores[members.decisions]),
        "fp_mmps": _mean(nonmembers.max_scores[nonmembers.decisions]),
        "fn_mmps": _mean(members.max_scores[~members.decisions]),
        "tn_mmps": _mean(nonmembers.max_scores[~nonmembers.decisions]),
        "accuracy": correct / (len(members) + len(nonmembers)),
    }


def membership_intervals(
    members: Judged, nonmembers: Judged, set_name: str, resamples: int, seed: int
) -> dict[str, Interval]:
    """Return 95% bootstrap intervals over images (see `ranking.draws`).

    The draws of a set depend on its name and the seed, so that all attacks are judged on
    the same resamples.

    Args:
        members: The attack set's members, at least one.
        nonmembers: The non-member set, at least one.
        set_name: The set's name.
        resamples: How many, at least 1.
        seed: Seed of the draws.

    Returns:
        (low, high) of the metrics of `RESAMPLED`.
    """
    scores = np.concatenate([members.attack_scores, nonmembers.attack_scores])
    ranked = rank(scores.astype(np.float64))
    member = np.arange(len(scores)) < len(members)
    parts: dict[str, list[Float64]] = {name: [] for name in RESAMPLED}
    sizes = {MEMBERS: len(members), set_name: len(nonmembers)}
    for drawn in draws(sizes, resamples, seed):
        true = drawn[MEMBERS] @ members.decisions
        false = drawn[set_name] @ nonmembers.decisions
        tpr, fpr = roc_of(ranked, np.hstack([drawn[MEMBERS], drawn[set_name]]), member)
        parts["precision"].append(true / np.maximum(true + false, 1))
        parts["recall"].append(true / len(members))
        parts["fpr"].append(false / len(nonmembers))
        parts["advantage"].append(parts["recall"][-1] - parts["fpr"][-1])
        parts["auroc"].append(area_under(tpr, fpr))
    found = {name: interval(values) for name, values in parts.items()}
    return {name: both for name, both in found.items() if both is not None}


def _mean(values: Float32) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else 0.0


def _aupr(roc: Roc, members: int, nonmembers: int) -> float:
    """Return the area under the precision-recall curve that the ROC curve implies.

    The curve of scikit-learn's `precision_recall_curve` has the same points: one per
    distinct score, and (recall 0, precision 1). Taking them from the ROC curve saves
    sorting the scores again.
    """
    true_positives = roc.tpr[1:] * members
    called = true_positives + roc.fpr[1:] * nonmembers
    precision = np.concatenate([[1.0], true_positives / called])
    return float(auc(roc.tpr, precision))


def thin_roc(roc: Roc) -> Roc:
    """Keep the points of a ROC curve that a plot can show, linear or logarithmic.

    Kept are the first and last point, the outermost point for each step of a grid over
    FPR (evenly and logarithmically spaced) and the first for each step over TPR.
    """
    even = np.linspace(0, 1, ROC_POINTS_PER_AXIS)
    grid = np.union1d(even, np.geomspace(1e-7, 1, ROC_POINTS_PER_AXIS))
    last_at_fpr = np.searchsorted(roc.fpr, grid, side="right") - 1
    first_at_tpr = np.searchsorted(roc.tpr, even, side="left")
    keep = np.union1d(np.union1d(last_at_fpr, first_at_tpr), [0, len(roc.fpr) - 1])
    return Roc(roc.fpr[keep], roc.tpr[keep])
