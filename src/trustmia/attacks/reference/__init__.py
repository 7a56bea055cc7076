"""Registry of attacks that compare the target with reference models."""

from collections.abc import Callable

from trustmia.attacks.baselines import BASELINES
from trustmia.attacks.lira import LIRA, chosen_forms
from trustmia.attacks.reference_base import ReferenceAttack, ReferenceSettings
from trustmia.attacks.rmia import RMIA

REFERENCE_ATTACKS: dict[str, ReferenceAttack] = {**LIRA, **RMIA, **BASELINES}
Forms = Callable[[ReferenceSettings, int], tuple[str, ...]]
# What `--attacks` and `attack.methods` may name, and the forms that each stands for, given
# the settings and the number of reference models.
FAMILIES: dict[str, Forms] = {
    "lira": chosen_forms,
    "rmia": lambda settings, models: tuple(RMIA),
    "loss": lambda settings, models: ("loss",),
    "difficulty": lambda settings, models: ("difficulty",),
}

__all__ = ["FAMILIES", "REFERENCE_ATTACKS", "ReferenceAttack", "ReferenceSettings"]
