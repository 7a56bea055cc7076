"""Runs attacks that compare a target with reference models: on signals, no image, no model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trustmia.arrays import Bool, Float64, Int64
from trustmia.attacks.reference import FAMILIES, REFERENCE_ATTACKS, ReferenceSettings
from trustmia.attacks.reference.summary import Summary, summarise
from trustmia.errors import UserError
from trustmia.ranking import ranking_metrics
from trustmia.signal_files import SignalSet

# Candidates for RMIA's a, where it is tuned.
TUNED_A = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class FormScores:
    """What one form of an attack says.

    Attributes:
        audited: float64 [P] of the audited images, higher is more likely a member.
        sets: Further non-member set → float64 [S]; empty if the form has none, as it needs
            reference models that were trained on the image.
    """

    audited: Float64
    sets: dict[str, Float64]


@dataclass(frozen=True)
class ReferenceScores:
    """What all attacks say.

    Attributes:
        member: bool [P], the audited images that the target was trained on.
        forms: Form → its scores.
        skipped: Why forms were left out, one phrase each.
        settings: The settings that were used; a tuned a is in it.
        without_spread: Number of audited images whose IN or OUT models say the same.
    """

    member: Bool
    forms: dict[str, FormScores]
    skipped: list[str]
    settings: ReferenceSettings
    without_spread: int


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
        target: Index of the target; all other models are its reference models.
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
    found = _Summaries.of(signals, target)
    references = len(signals.member) - 1
    forms: dict[str, FormScores] = {}
    skipped = []
    for name in (f for family in families for f in FAMILIES[family](settings, references)):
        reason = found.lacks(name)
        if reason:
            skipped.append(f"{name} ({reason})")
        else:
            forms[name] = _finite(name, found.scores(name, settings))
    if not forms:
        raise UserError(f"--attacks: none is possible: {', '.join(skipped)}")
    member = signals.member[target, signals.audited]
    return ReferenceScores(member, forms, skipped, settings, found.audited.without_spread())


def _finite(name: str, scores: FormScores) -> FormScores:
    """Refuse scores that cannot be ranked, rather than rank what is left of them."""
    for values in (scores.audited, *scores.sets.values()):
        broken = np.flatnonzero(~np.isfinite(values))
        if len(broken):
            raise UserError(
                f"{name}: {len(broken)} images have a score of {values[broken[0]]}; what the "
                "models say of them is beyond float64"
            )
    return scores


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
    """Summaries of the audited images, the further sets and the population."""

    audited: Summary
    sets: dict[str, Summary]
    population: Summary | None

    @classmethod
    def of(cls, signals: SignalSet, target: int) -> "_Summaries":
        references = np.delete(np.arange(len(signals.member)), target)
        audited = summarise(
            signals.images.at(signals.audited),
            signals.member[:, signals.audited],
            target,
            references,
        )
        sets = {}
        for name, rows in signals.sets.items():
            found = summarise(signals.images.at(rows), signals.member[:, rows], target, references)
            sets[name] = _with_spread_of(found, audited)
        population = None
        if signals.population is not None:
            shown = signals.population
            nobody = np.zeros((len(signals.member), len(shown)), dtype=np.bool_)
            population = summarise(shown, nobody, target, references)
        return cls(audited, sets, population)

    def lacks(self, name: str) -> str | None:
        """Say what a form needs and does not have."""
        attack = REFERENCE_ATTACKS[name]
        if not attack.needs_references:
            return None
        inside, outside = self.audited.inside.count, self.audited.outside.count
        if not (inside + outside).any():
            return "no reference models"
        if attack.needs_population and self.population is None:
            return "no population images"
        if not attack.needs_inside:
            outside = np.concatenate([outside, *(s.outside.count for s in self.sets.values())])
        for count, side in ((outside, "not "), (inside, "")):
            if (side or attack.needs_inside) and count.min() < attack.fewest:
                few = int((count < attack.fewest).sum())
                return f"{few} images have fewer than {attack.fewest} models {side}trained on them"
        return None

    def scores(self, name: str, settings: ReferenceSettings) -> FormScores:
        attack = REFERENCE_ATTACKS[name]
        sets = {} if attack.needs_inside else self.sets
        return FormScores(
            attack.score(self.audited, self.population, settings),
            {k: attack.score(found, self.population, settings) for k, found in sets.items()},
        )


def _with_spread_of(summary: Summary, audited: Summary) -> Summary:
    """Judge other sets by the spread that the audited images have."""
    return replace(
        summary,
        inside=replace(summary.inside, spread=audited.inside.spread),
        outside=replace(summary.outside, spread=audited.outside.spread),
    )


def tuned_a(signals: SignalSet, target: int, settings: ReferenceSettings) -> float:
    """Return the a in 0, 0.1, …, 1 with which RMIA offline does best against a reference.

    The first reference model plays the target, whose membership the auditor knows; the
    others but for its complement are its reference models (Zarifzadeh et al. 2024,
    section 3). Of equally good ones, the smallest.

    Raises:
        UserError: There are no population images, or too few reference models.
    """
    if signals.population is None:
        raise UserError("RMIA's a cannot be tuned without population images; give a number")
    stand_in, references = _stand_in(signals, target)
    rows = signals.audited
    audited = summarise(signals.images.at(rows), signals.member[:, rows], stand_in, references)
    nobody = np.zeros((len(signals.member), len(signals.population)), dtype=np.bool_)
    population = summarise(signals.population, nobody, stand_in, references)
    member = signals.member[stand_in, rows]

    def area(a: float) -> float:
        score = REFERENCE_ATTACKS["rmia_offline"].score
        found = ranking_metrics(score(audited, population, replace(settings, rmia_a=a)), member)
        return found["auroc"] or 0.0

    return max(TUNED_A, key=area)


def _stand_in(signals: SignalSet, target: int) -> tuple[int, Int64]:
    """Return a reference model that plays the target, and its reference models."""
    others = np.delete(np.arange(len(signals.member)), target)
    if len(others):
        member = signals.member[:, signals.audited]
        stand_in = int(others[0])
        same = (member[others] == member[stand_in]).all(axis=1)
        opposite = (member[others] == ~member[stand_in]).all(axis=1)
        references = others[~same & ~opposite]
        if len(references) and not member[references].all(axis=0).any():
            return stand_in, references
    raise UserError(
        "RMIA's a cannot be tuned: it takes a reference model to play the target, and two others "
        "that are not its complement; give a number, or more reference models"
    )
