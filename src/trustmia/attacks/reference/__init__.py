"""Registry of attacks that compare the target with reference models."""

from trustmia.attacks.reference.base import ReferenceAttack, ReferenceSettings
from trustmia.attacks.reference.baselines import BASELINES
from trustmia.attacks.reference.lira import LIRA
from trustmia.attacks.reference.rmia import RMIA

REFERENCE_ATTACKS: dict[str, ReferenceAttack] = {**LIRA, **RMIA, **BASELINES}
# What `--attacks` and `attack.methods` may name: all forms of an attack.
FAMILIES: dict[str, tuple[str, ...]] = {
    "lira": tuple(LIRA),
    "rmia": tuple(RMIA),
    "loss": ("loss",),
    "difficulty": ("difficulty",),
}

__all__ = ["FAMILIES", "REFERENCE_ATTACKS", "ReferenceAttack", "ReferenceSettings"]
