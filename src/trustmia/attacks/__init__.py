"""Registry of membership inference attacks."""

from trustmia.attacks.base import Attack, AttackSettings, FittedAttack
from trustmia.attacks.entropy import ENTROPY
from trustmia.attacks.salem import SALEM
from trustmia.attacks.threshold import THRESHOLD

ATTACKS: dict[str, Attack] = {
    "threshold": THRESHOLD,
    "entropy": ENTROPY,
    "salem": SALEM,
}

__all__ = ["ATTACKS", "Attack", "AttackSettings", "FittedAttack"]
