"""What metrics are functions of: an attack's word on resamples of members and non-members."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trustmia.arrays import Bool, Float64, Int64
from trustmia.attacks.outcome import Decisions
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.measures.roc import Ranked, rank, roc_of
from trustmia.runtime.seeding import numpy_generator


@dataclass(frozen=True)
class Decided:
    """Decisions on members and one non-member set, in B resamples, or on the images as they are.

    Attributes:
        true_positives: float64 [B], members called members.
        false_positives: float64 [B], non-members called members.
        members: Number of members.
        nonmembers: Number of non-members.
        tpr: float64 [B, P], of the ROC curve of the float32 scores that were decided on.
        fpr: float64 [B, P], the same.
        mean_max: `tp`, `fp`, `fn` and `tn` → the mean maximum prediction score of those images,
            as they are; 0 of none.
    """

    true_positives: Float64
    false_positives: Float64
    members: int
    nonmembers: int
    tpr: Float64
    fpr: Float64
    mean_max: Mapping[str, float]


class DecidedImages:
    """The images of one set and the members, sorted once for all resamples.

    Args:
        decisions: The attack's decisions.
        members: int64 [M], rows of the members, at least one.
        others: int64 [S], rows of the set, at least one.
        name: The set.
    """

    def __init__(self, decisions: Decisions, members: Int64, others: Int64, name: str) -> None:
        self.sizes = {MEMBERS: len(members), name: len(others)}
        self._name = name
        self._called = {MEMBERS: decisions.called[members], name: decisions.called[others]}
        rows = np.concatenate([members, others])
        self._ranked = rank(decisions.scores[rows].astype(np.float64))
        self._member = np.arange(len(rows)) < len(members)
        self._mean_max = {}
        for group, yes, no in ((members, "tp", "fn"), (others, "fp", "tn")):
            called, scores = decisions.called[group], decisions.max_scores[group]
            for key, values in ((yes, scores[called]), (no, scores[~called])):
                mean = values.mean(dtype=np.float64) if len(values) else 0.0
                self._mean_max[key] = float(mean)

    def drawn(self, counts: Mapping[str, Float64], resampled: bool = True) -> Decided:
        """Return the evidence of resamples, given as counts: group → float64 [B, size]."""
        members, others = counts[MEMBERS], counts[self._name]
        tpr, fpr = roc_of(self._ranked, np.hstack([members, others]), self._member)
        return Decided(
            members @ self._called[MEMBERS],
            others @ self._called[self._name],
            self.sizes[MEMBERS],
            self.sizes[self._name],
            tpr,
            fpr,
            self._mean_max,
        )


@dataclass(frozen=True)
class Ranking:
    """How members and one non-member set are ranked, in B resamples or as they are.

    Attributes:
        tpr: float64 [B, P], share of members at each threshold; the first calls nobody.
        fpr: float64 [B, P], share of the non-members.
        nonmembers: Number of non-members.
        resampled: Whether it is of resamples.
        balanced_accuracy: float64 [B], of each half at the other's best threshold, their mean;
            NaN where there are no halves.
        called: Further set → float64 [B, S + 1], images among its highest.
        above: Further set → int64 [P], how many of its images are above each threshold.
    """

    tpr: Float64
    fpr: Float64
    nonmembers: int
    resampled: bool
    balanced_accuracy: Float64
    called: Mapping[str, Float64]
    above: Mapping[str, Int64]
    _places: dict[float, Int64] = field(default_factory=dict)

    def tpr_at(self, limit: float) -> Float64:
        """Return the largest TPR with at most an FPR, float64 [B]; NaN where none has it."""
        return self._reached(self.tpr, self._place(limit), self.tpr[:, 1], limit)

    def fpr_at(self, limit: float) -> Float64:
        """Return the FPR of that threshold, float64 [B]; NaN alike."""
        return self._reached(self.fpr, self._place(limit), self.fpr[:, 1], limit)

    def share_at(self, limit: float, name: str) -> Float64:
        """Return the share of any set above that threshold, float64 [B]; NaN alike."""
        if name not in self.called:
            return self.fpr_at(limit)
        called, above = self.called[name], self.above[name]
        reached = self._reached(called, above[self._place(limit)], called[:, above[1]], limit)
        return reached / called[:, -1]

    def _place(self, limit: float) -> Int64:
        """Return the last ROC point with at most an FPR: int64 [B, 1].

        Rounding must not cost the point that lies exactly on the limit.
        """
        if limit not in self._places:
            self._places[limit] = (self.fpr <= limit * (1 + 1e-9)).sum(axis=1)[:, None] - 1
        return self._places[limit]

    def _reached(self, rates: Float64, at: Int64, largest: Float64, limit: float) -> Float64:
        """Return rates at ROC points, float64 [B]; NaN at the point that calls nobody.

        In a resample it is nevertheless 0 there where none share the largest score: whatever is
        done about the non-members that do, it is 0. Fewer non-members than 1/limit have no such
        FPR.

        Args:
            rates: float64 [B, P].
            at: int64 [B, 1], places in `rates`.
            largest: float64 [B], the rate at the largest score.
            limit: The FPR.
        """
        reached = np.take_along_axis(rates, at, axis=1)[:, 0]
        some = (self._place(limit)[:, 0] > 0) | (self.resampled & (largest == 0))
        return np.where(some & (limit * self.nonmembers >= 1), reached, np.nan)


class RankedImages:
    """Members and non-members, sorted once for all resamples.

    Args:
        groups: `MEMBERS`, the non-members and further sets → float64 [N] each, N at least 1.
        against: The non-members.
        seed: Draws the halves of balanced accuracy.
    """

    def __init__(self, groups: Mapping[str, Float64], against: str, seed: int) -> None:
        self.sizes = {name: len(values) for name, values in groups.items()}
        self._against = against
        scores = np.concatenate([groups[MEMBERS], groups[against]])
        self._member = np.arange(len(scores)) < len(groups[MEMBERS])
        self._ranked = rank(scores)
        self._half = halves_of(self._member, seed)
        further = {k: v for k, v in groups.items() if k not in (MEMBERS, against)}
        self._order = {k: np.argsort(-values, kind="stable") for k, values in further.items()}
        self._above = {
            name: np.append(
                0,
                np.searchsorted(-values[self._order[name]], -self._ranked.values, side="right"),
            )
            for name, values in further.items()
        }

    def drawn(self, counts: Mapping[str, Float64], resampled: bool = True) -> Ranking:
        """Return the evidence of resamples, given as counts: group → float64 [B, size]."""
        rows = np.hstack([counts[MEMBERS], counts[self._against]])
        tpr, fpr = roc_of(self._ranked, rows, self._member)
        zero = np.zeros((len(rows), 1))
        called = {
            name: np.hstack([zero, np.cumsum(counts[name][:, order], axis=1)])
            for name, order in self._order.items()
        }
        balanced = self._balanced_accuracy(rows)
        size = self.sizes[self._against]
        return Ranking(tpr, fpr, size, resampled, balanced, called, self._above)

    def _balanced_accuracy(self, counts: Float64) -> Float64:
        if self._half is None:
            return np.full(len(counts), np.nan)
        gaps = [self._gap(counts, part) for part in (self._half, ~self._half)]
        first, second = (
            np.take_along_axis(there, here.argmax(axis=1)[:, None], axis=1)[:, 0]
            for here, there in (gaps, gaps[::-1])
        )
        balanced: Float64 = (1 + (first + second) / 2) / 2
        return balanced

    def _gap(self, counts: Float64, part: Bool) -> Float64:
        """Return TPR − FPR of some rows at every threshold, from nobody on: float64 [B, P]."""
        members, nonmembers = self._member & part, ~self._member & part
        totals = [counts[:, rows].sum(axis=1, keepdims=True) for rows in (members, nonmembers)]
        positives, negatives = (np.maximum(total, 1) for total in totals)
        # Whole numbers until they are divided: of equally good thresholds, rounding chooses none.
        weights = np.zeros_like(counts)
        weights[:, members] = counts[:, members] * negatives
        weights[:, nonmembers] = -counts[:, nonmembers] * positives
        ranked: Ranked = self._ranked
        reached = np.cumsum(weights[:, ranked.order], axis=1)[:, ranked.ends]
        return np.hstack([np.zeros((len(counts), 1)), reached / (positives * negatives)])


def halves_of(member: Bool, seed: int) -> Bool | None:
    """Return a random half of the members and of the non-members: bool [N].

    None where there is but one of either.
    """
    half = np.zeros(len(member), dtype=np.bool_)
    for name, rows in ((MEMBERS, np.flatnonzero(member)), (HELD_OUT, np.flatnonzero(~member))):
        if len(rows) < 2:
            return None
        shuffled = numpy_generator(seed, "halves", name).permutation(rows)
        half[shuffled[: len(rows) // 2]] = True
    return half
