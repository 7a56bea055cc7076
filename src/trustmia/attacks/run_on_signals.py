"""Runs attacks that compare a target with reference models: on signals, no image, no model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trustmia.arrays import Bool, Float64, Int64
from trustmia.attacks.reference import (
    FAMILIES,
    REFERENCE_ATTACKS,
    ReferenceAttack,
    ReferenceSettings,
)
from trustmia.attacks.reference_base import Score
from trustmia.errors import UserError
from trustmia.measures.ranking import ranking_metrics
from trustmia.signals.many_models import Signals, SignalSet
from trustmia.signals.sides import as_many_as, equal_sides, outstanding, unrelated
from trustmia.signals.summaries import Summary, summarise

# Candidates for RMIA's a, where it is tuned.
TUNED_A = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class FormScores:
    """What one form of an attack says.

    Attributes:
        audited: float64 [P] of the audited images, higher is more likely a member; NaN of
            images that lack the reference models for it.
        sets: Further non-member set → float64 [S], with NaN alike; empty if the form has
            none, as it needs reference models that were trained on the image.
        ranking: What ranks the audited images, where scores tie: float64 [P], NaN alike.
        set_ranking: The same of the further sets, to be compared with `ranking`.
    """

    audited: Float64
    sets: dict[str, Float64]
    ranking: Float64
    set_ranking: dict[str, Float64]

    @property
    def scored(self) -> Bool:
        """Which audited images have a score: bool [P]."""
        return ~np.isnan(self.audited)

    def ranked(self, member: Bool) -> tuple[Float64, Bool, dict[str, Float64]]:
        """Return what `judge` takes: images with a score, members among them, sets with any.

        Args:
            member: bool [P], the target was trained on the image.
        """
        sets = {name: values[~np.isnan(values)] for name, values in self.set_ranking.items()}
        sets = {name: values for name, values in sets.items() if len(values)}
        return self.ranking[self.scored], member[self.scored], sets


@dataclass(frozen=True)
class ReferenceScores:
    """What all attacks say.

    Attributes:
        member: bool [P], the audited images that the target was trained on.
        forms: Form → its scores.
        skipped: Why forms were left out, one phrase each.
        settings: The settings that were used; a tuned a is in it.
        without_spread: Number of audited images whose IN or OUT models say the same.
        left_out: Models that are no reference models, as they were mostly trained on the
            target's images, or on all others.
        outstanding: Reference models that may tell members, as their membership correlates
            with the target's unlike the others' does → that correlation.
        per_side: How many IN and OUT models speak for an image, on average, where their
            numbers would tell members; None where each image has its own.
    """

    member: Bool
    forms: dict[str, FormScores]
    skipped: list[str]
    settings: ReferenceSettings
    without_spread: int
    left_out: tuple[int, ...]
    outstanding: dict[int, float]
    per_side: tuple[float, float] | None


def run_reference_attacks(
    signals: SignalSet,
    target: int,
    families: Sequence[str],
    settings: ReferenceSettings,
    tune_a: bool = False,
) -> ReferenceScores:
    """Run all forms of the attacks that the signals allow.

    Args:
        signals: What the models say.
        target: Index of the target; all other models are its reference models, but for
            those whose images are mostly the target's, or mostly all others.
        families: Names of `FAMILIES`.
        settings: Settings of the attacks.
        tune_a: Choose RMIA's a anew, on reference models (see `tuned_a`).

    Raises:
        UserError: The target is not among the models, or was trained on all or none of the
            images, or on one of a further set; or the signals allow none of the attacks.
    """
    _check_target(signals, target)
    _check_sets(signals, target)
    if tune_a:
        settings = replace(settings, rmia_a=tuned_a(signals, target, settings))
    others = np.delete(np.arange(len(signals.member)), target)
    found = _Summaries.of(signals, target, others)
    forms: dict[str, FormScores] = {}
    skipped = []
    for name in (f for family in families for f in FAMILIES[family](settings, len(others))):
        reason = found.lacks(name)
        if reason:
            skipped.append(f"{name} ({reason})")
        else:
            forms[name] = found.scores(name, settings)
    if not forms:
        raise UserError(f"--attacks: none is possible: {', '.join(skipped)}")
    return ReferenceScores(
        found.member,
        forms,
        skipped,
        settings,
        found.audited.without_spread(),
        tuple(int(model) for model in np.setdiff1d(others, found.references)),
        outstanding(signals.member[:, signals.audited], target, found.references),
        found.per_side,
    )


def _check_target(signals: SignalSet, target: int) -> None:
    models = len(signals.member)
    if not 0 <= target < models:
        raise UserError(f"--target-index: got {target}; allowed: 0 to {models - 1}")
    if len(np.unique(signals.member[target, signals.audited])) < 2:
        raise UserError(f"model {target} was trained on all images or on none: nothing to rank")


def _check_sets(signals: SignalSet, target: int) -> None:
    for name, rows in signals.sets.items():
        trained_on = np.flatnonzero(signals.member[target, rows])
        if len(trained_on):
            raise UserError(
                f"{signals.images.name}: image {rows.start + trained_on[0]} is of set {name}, but "
                f"model {target} was trained on it; allowed: no members in sets other than "
                "members and original"
            )


@dataclass(frozen=True)
class _Summaries:
    """Summaries of the audited images, the further sets and the population.

    Attributes:
        member: bool [P], the audited images that the target was trained on.
        references: int64 [R], the reference models.
        per_side: How many IN and OUT models speak for an image, on average, where some are
            set aside; None: all do.
    """

    member: Bool
    references: Int64
    per_side: tuple[float, float] | None
    audited: Summary
    sets: dict[str, Summary]
    population: Summary | None

    @classmethod
    def of(cls, signals: SignalSet, target: int, candidates: Int64) -> "_Summaries":
        trained_on = signals.member[:, signals.audited]
        member = trained_on[target]
        references = unrelated(trained_on, target, candidates)
        used = equal_sides(trained_on[references], member) if len(references) else None
        shown = signals.images.at(signals.audited)
        audited = summarise(shown, trained_on, target, references, used)
        held_out = audited.outside.count[~member]
        wanted = held_out[held_out > 0]

        def like_held_out(images: Signals, trained_on: Bool) -> Summary:
            used = as_many_as(wanted, ~trained_on[references])
            found = summarise(images, trained_on, target, references, used)
            return _with_spread_of(found, audited)

        sets = {
            name: like_held_out(signals.images.at(rows), signals.member[:, rows])
            for name, rows in signals.sets.items()
        }
        population = None
        if signals.population is not None:
            nobody = np.zeros((len(trained_on), len(signals.population)), dtype=np.bool_)
            population = like_held_out(signals.population, nobody)
        per_side = None
        if used is not None:
            per_side = float(audited.inside.count.mean()), float(audited.outside.count.mean())
        return cls(member, references, per_side, audited, sets, population)

    def lacks(self, name: str) -> str | None:
        """Say what a form needs and does not have."""
        attack = REFERENCE_ATTACKS[name]
        if not attack.needs_references:
            return None
        if not len(self.references):
            return "no reference models"
        if attack.needs_population and self.population is None:
            return "no population images"
        if len(np.unique(self.member[_possible(attack, self.audited)])) == 2:
            return None
        sides = [("not ", self.audited.outside.count)]
        if attack.needs_inside:
            sides.append(("", self.audited.inside.count))
        side, few = max(
            ((side, int((count < attack.fewest).sum())) for side, count in sides),
            key=lambda found: found[1],
        )
        return f"{few} images have fewer than {attack.fewest} models {side}trained on them"

    def scores(self, name: str, settings: ReferenceSettings) -> FormScores:
        attack = REFERENCE_ATTACKS[name]
        parts = [self.audited, *(() if attack.needs_inside else self.sets.values())]
        scores = [self._of_possible(name, attack.score, part, settings) for part in parts]
        ranking = scores
        if attack.tie_break is not None:
            ties = [self._of_possible(name, attack.tie_break, part, settings) for part in parts]
            ranking = _ranks(scores, ties)
        return FormScores(
            scores[0],
            dict(zip(self.sets, scores[1:])),
            ranking[0],
            dict(zip(self.sets, ranking[1:])),
        )

    def _of_possible(
        self, name: str, score: Score, part: Summary, settings: ReferenceSettings
    ) -> Float64:
        """Score a set's images; NaN are those that lack models, and no others.

        Raises:
            UserError: A score is not finite; what is left of them is not ranked.
        """
        possible = _possible(REFERENCE_ATTACKS[name], part)
        found = score(part, self.population, settings)
        broken = np.flatnonzero(possible & ~np.isfinite(found))
        if len(broken):
            raise UserError(
                f"{name}: {len(broken)} images have a score of {found[broken[0]]}; what the "
                "models say of them is beyond float64"
            )
        return np.where(possible, found, np.nan)


def _possible(attack: ReferenceAttack, summary: Summary) -> Bool:
    """Say which images have the reference models that an attack needs: bool [N]."""
    enough = np.ones(len(summary.target), dtype=np.bool_)
    if attack.needs_references:
        enough &= summary.outside.count >= attack.fewest
    if attack.needs_inside:
        enough &= summary.inside.count >= attack.fewest
    return enough


def _ranks(scores: Sequence[Float64], ties: Sequence[Float64]) -> list[Float64]:
    """Rank the images of several sets together by score, those of equal score by another.

    Args:
        scores: float64 [N] of each set, NaN where there is none.
        ties: The same of what breaks ties.

    Returns:
        float64 [N] of each set; equal where both are, NaN where there is no score.
    """
    keys = np.stack([np.concatenate(scores), np.concatenate(ties)])
    order = np.lexsort(keys[::-1])
    steps = (np.diff(keys[:, order], axis=1) != 0).any(axis=0)
    ranks = np.empty(len(order))
    ranks[order] = np.concatenate([[0], np.cumsum(steps)])
    ranks[np.isnan(keys[0])] = np.nan
    return np.split(ranks, np.cumsum([len(part) for part in scores])[:-1])


def _with_spread_of(summary: Summary, audited: Summary) -> Summary:
    """Judge other sets by the spread that the audited images have."""
    own = audited.outside
    outside = replace(summary.outside, spread=own.spread, grand_std=own.grand_std)
    return replace(summary, outside=outside)


def tuned_a(signals: SignalSet, target: int, settings: ReferenceSettings) -> float:
    """Return the a in 0, 0.1, …, 1 with which RMIA offline does best against a reference.

    The first model that is unrelated to the target plays it, as the auditor knows its
    membership; the others, but for those related to it, are its reference models
    (Zarifzadeh et al. 2024, section 3). It is ranked among the target's members, and among
    the other images: where models share images out between them, the a that suits its
    members does not suit the target's. Of equally good ones, the smallest.

    Raises:
        UserError: There are no population images, or too few reference models.
    """
    if signals.population is None:
        raise UserError("RMIA's a cannot be tuned without population images; give a number")
    found = _stand_in(signals, target)
    own = signals.member[target, signals.audited]

    def area(a: float) -> float:
        said = found.scores("rmia_offline", replace(settings, rmia_a=a))
        parts = [said.scored & own, said.scored & ~own]
        return sum(_area(said.ranking[part], found.member[part]) for part in parts)

    return max(TUNED_A, key=area)


def _area(ranking: Float64, member: Bool) -> float:
    """Return the AUROC, 0 where all images or none are members."""
    if len(np.unique(member)) < 2:
        return 0.0
    return ranking_metrics(ranking, member)["auroc"] or 0.0


def _stand_in(signals: SignalSet, target: int) -> _Summaries:
    """Return the summaries of an audit in which a reference model plays the target."""
    trained_on = signals.member[:, signals.audited]
    others = np.delete(np.arange(len(trained_on)), target)
    candidates = unrelated(trained_on, target, others)
    partial = np.array([len(np.unique(row)) == 2 for row in trained_on[candidates]], np.bool_)
    for model in candidates[partial][:1]:
        found = _Summaries.of(signals, int(model), others[others != model])
        if found.lacks("rmia_offline") is None:
            return found
    raise UserError(
        "RMIA's a cannot be tuned: it takes a reference model to play the target, and two others "
        "that are not its complement; give a number, or more reference models"
    )
