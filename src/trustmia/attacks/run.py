"""Runs every attack that signals allow, and says why it left out the others."""

from collections.abc import Mapping, Sequence

import numpy as np

from trustmia.arrays import Float32
from trustmia.attacks import ATTACKS
from trustmia.attacks.base import ComparedForm, FittedAttack, LearnedForm, Need, Refused
from trustmia.attacks.outcome import AttackRun, AttackScores, Decisions
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.settings import Section
from trustmia.signals.comparison import Comparison, check_target, compare
from trustmia.signals.container import Signals
from trustmia.signals.scores import ScoreSet


def run_attacks(
    signals: Signals, names: Sequence[str], settings: Mapping[str, Section], seed: int
) -> AttackRun:
    """Run all forms of attacks that signals allow.

    Args:
        signals: What models say.
        names: Attacks, names of `ATTACKS`, in the order of the results.
        settings: Each attack's own section.
        seed: Seed of attacks that train a network.

    Raises:
        Refused: None of the attacks is possible, or a setting does not fit the signals.
        UserError: A value cannot be tuned, or the target's members cannot be told from others.
    """
    comparison, references = None, 0
    if signals.models is not None:
        check_target(signals.models, signals.target_index)
        comparison = compare(signals.models, signals.target_index)
        references = len(signals.models.member) - 1
    forms: dict[str, AttackScores] = {}
    left_out: dict[str, str] = {}
    notes: list[str] = []
    for name in names:
        attack, own = ATTACKS[name], settings[name]
        if attack.tuned is not None and signals.models is not None and references:
            own = attack.tuned(own, signals.models, signals.target_index)
        for form in attack.forms_for(own, references):
            if isinstance(form, LearnedForm):
                if signals.shadow is None or signals.target is None:
                    left_out[form.name] = "no shadow model"
                    continue
                fitted = form.fit(signals.shadow.scores, signals.shadow.member, own, seed)
                forms[form.name] = _decided(form, fitted, signals.target)
                notes += [*fitted.notes, *_one_sided(form, fitted, signals.shadow.scores)]
            elif comparison is None:
                left_out[name] = "no signals of many models"
            elif reason := form.lacks(comparison):
                left_out[form.name] = reason
            else:
                forms[form.name] = _ranked(form, own, comparison)
    if not forms:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in left_out.items())
        raise Refused("methods", f"none is possible: {reasons}")
    return AttackRun(forms, left_out, tuple(notes), comparison)


def _decided(form: LearnedForm, fitted: FittedAttack, target: ScoreSet) -> AttackScores:
    scores = fitted.score(target.scores)
    exact = scores.astype(np.float64)
    return AttackScores(
        title=form.title,
        groups={MEMBERS: np.flatnonzero(target.member), **target.nonmember_sets()},
        scores=exact,
        ranking=exact if target.finer is None else fitted.rank(target.finer),
        exact=target.finer is not None,
        decisions=Decisions(fitted.decide(scores), scores, target.scores.max(axis=1)),
        learned=fitted.learned,
    )


def _one_sided(form: LearnedForm, fitted: FittedAttack, shadow: Float32) -> list[str]:
    """Say whether an attack tells no image of the shadow from any other by its decisions."""
    called = fitted.decide(fitted.score(shadow))
    if called.any() and not called.all():
        return []
    share = "all" if called.any() else "none"
    return [
        f"{form.title} Attack: calls {share} of the shadow's images members, as it found no score "
        "that tells them from the others; its decisions say nothing."
    ]


def _ranked(form: ComparedForm, settings: Section, comparison: Comparison) -> AttackScores:
    rows = {
        name: np.arange(place.start, place.stop) for name, place in comparison.signals.sets.items()
    }
    start = comparison.signals.audited.start
    scores, ranking = form.scores(comparison, settings)
    return AttackScores(
        title=form.title,
        groups={
            MEMBERS: start + np.flatnonzero(comparison.member),
            HELD_OUT: start + np.flatnonzero(~comparison.member),
            **({} if Need.IN_MODELS in form.needs else rows),
        },
        scores=scores,
        ranking=ranking,
        exact=True,
        decisions=None,
        learned=form.learned(settings),
    )
