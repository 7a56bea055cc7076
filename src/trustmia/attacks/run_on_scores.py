"""Runs attacks on a shadow's and a target's prediction scores: no image, no model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float32, Float64
from trustmia.attacks import ATTACKS, AttackSettings, FittedAttack
from trustmia.errors import UserError
from trustmia.measures.decisions import (
    Judged,
    Roc,
    full_roc,
    membership_intervals,
    membership_metrics,
    roc_of_scores,
    thin_roc,
)
from trustmia.measures.ranking import Interval
from trustmia.signals.scores import ScoreSet

Metrics = dict[str, float]


@dataclass(frozen=True)
class AuditResult:
    """What the attacks reached.

    Attributes:
        parameters: What each attack learned from the shadow model.
        sets: Non-member set → attack → metric (see `membership_metrics`).
        rocs: Attack → non-member set → thinned ROC curve of the ranking scores.
        sizes: Number of images in `members` and in each non-member set.
        intervals: Non-member set → attack → metric → 95% interval, of the metrics that
            `membership_intervals` gives; empty without resamples.
        attack_scores: Attack → float32 [N], its scores of the target's rows.
        decisions: Attack → bool [N], the rows that it calls members.
        ranking_scores: Attack → float64 [N], what ranks the rows: of what is finer than the
            target's scores (see `ScoreSet.finer`), or else the attack scores.
        ties: Non-member set → attack → how many of its images have its largest ranking score.
        notes: What is unusual about what attacks learned, a sentence each.
    """

    parameters: dict[str, float | None]
    sets: dict[str, dict[str, Metrics]]
    rocs: dict[str, dict[str, Roc]]
    sizes: dict[str, int]
    intervals: dict[str, dict[str, dict[str, Interval]]]
    attack_scores: dict[str, Float32]
    decisions: dict[str, Bool]
    ranking_scores: dict[str, Float64]
    ties: dict[str, dict[str, int]]
    notes: list[str]


def run_audit(
    shadow: ScoreSet,
    target: ScoreSet,
    methods: Sequence[str],
    settings: AttackSettings,
    resamples: int = 0,
) -> AuditResult:
    """Fit attacks on the shadow and let them judge what the target was shown.

    Args:
        shadow: Scores of the shadow model on its members and non-members.
        target: Scores of the target model on its members and every non-member set.
        methods: Names of attacks, in the order of the results.
        settings: Settings of the attacks.
        resamples: Resamples of the bootstrap; 0 for no intervals.

    Raises:
        UserError: An attack is unknown, the number of classes differs between shadow and
            target, or a setting does not fit.
    """
    unknown = [name for name in methods if name not in ATTACKS]
    if unknown:
        raise UserError(f"attack {unknown[0]!r} is unknown; allowed: {', '.join(ATTACKS)}")
    classes = shadow.scores.shape[1], target.scores.shape[1]
    if classes[0] != classes[1]:
        raise UserError(f"the shadow has {classes[0]} classes, the target {classes[1]}")
    rows = target.nonmember_sets()
    result = AuditResult(
        parameters={},
        sets={name: {} for name in rows},
        rocs={},
        sizes={"members": int(target.member.sum())} | {n: len(r) for n, r in rows.items()},
        intervals={name: {} for name in rows} if resamples else {},
        attack_scores={},
        decisions={},
        ranking_scores={},
        ties={name: {} for name in rows},
        notes=[],
    )
    max_scores: Float32 = target.scores.max(axis=1)
    for name in methods:
        fitted = ATTACKS[name].fit(shadow.scores, shadow.member, settings)
        attack_scores = fitted.score(target.scores)
        decisions = fitted.decide(attack_scores)
        result.attack_scores[name], result.decisions[name] = attack_scores, decisions
        result.parameters.update(fitted.parameters())
        result.notes.extend(fitted.notes())
        result.notes.extend(_one_sided(ATTACKS[name].title, fitted, shadow))
        ranking = attack_scores.astype(np.float64)
        finer = target.finer
        if finer is not None:
            ranking = fitted.rank(finer)
        result.ranking_scores[name] = ranking
        judged = Judged(attack_scores, decisions, max_scores)
        members = judged.take(np.flatnonzero(target.member))
        result.rocs[name] = {}
        for set_name, index in rows.items():
            nonmembers = judged.take(index)
            roc = full_roc(members, nonmembers)
            result.sets[set_name][name] = membership_metrics(members, nonmembers, roc)
            if finer is not None:
                roc = roc_of_scores(ranking[target.member], ranking[index])
            result.rocs[name][set_name] = thin_roc(roc)
            at_top = ranking[index] == ranking[index].max()
            result.ties[set_name][name] = int(at_top.sum())
            if resamples:
                result.intervals[set_name][name] = membership_intervals(
                    members, nonmembers, set_name, resamples, settings.seed
                )
    return result


def _one_sided(title: str, fitted: FittedAttack, shadow: ScoreSet) -> list[str]:
    """Say whether an attack tells no image of the shadow from any other by its decisions."""
    called = fitted.decide(fitted.score(shadow.scores))
    if called.any() and not called.all():
        return []
    share = "all" if called.any() else "none"
    return [
        f"{title}: calls {share} of the shadow's images members, as it found no score that tells "
        "them from the others; its decisions say nothing."
    ]
