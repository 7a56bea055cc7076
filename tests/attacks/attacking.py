"""Attacks on arrays alone, as tests run them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from trustmia.arrays import Bool, Float32
from trustmia.attacks import ATTACKS
from trustmia.attacks.base import ComparedForm, FittedAttack, LearnedForm
from trustmia.attacks.outcome import AttackRun
from trustmia.attacks.run import run_attacks
from trustmia.signals.container import Signals

FORMS = {form.name: form for attack in ATTACKS.values() for form in attack.forms}
LEARNED = {name: form for name, form in FORMS.items() if isinstance(form, LearnedForm)}
COMPARED = {name: form for name, form in FORMS.items() if isinstance(form, ComparedForm)}
# The attacks that compare a target with other models.
COMPARING = [name for name in ATTACKS if name not in LEARNED]


def attack(
    signals: Signals,
    names: Sequence[str],
    changes: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    seed: int = 42,
) -> AttackRun:
    """Run attacks; `changes` has settings of some that are not the defaults."""
    settings = {name: ATTACKS[name].settings(**changes.get(name, {})) for name in names}
    return run_attacks(signals, names, settings, seed)


def fit(name: str, scores: Float32, member: Bool, seed: int = 1, **changes: Any) -> FittedAttack:
    """Fit an attack on a shadow's scores; Salem's network is trained for three epochs."""
    quick = {"max_epochs": 3} if name == "salem" else {}
    return LEARNED[name].fit(scores, member, ATTACKS[name].settings(**quick | changes), seed)
