"""Registry of membership inference attacks."""

from collections.abc import Iterable

from trustmia.attacks.base import Attack, AttackSettings, FittedAttack
from trustmia.attacks.entropy import ENTROPY
from trustmia.attacks.salem import SALEM
from trustmia.attacks.threshold import THRESHOLD
from trustmia.image_sets import in_words

ATTACKS: dict[str, Attack] = {
    "threshold": THRESHOLD,
    "entropy": ENTROPY,
    "salem": SALEM,
}


def form_title(form: str) -> str:
    """Return a form's name for people, e.g. `Salem`, `LiRA offline`."""
    from trustmia.attacks.reference import REFERENCE_ATTACKS

    if form in ATTACKS:
        return ATTACKS[form].title.removesuffix(" Attack")
    return REFERENCE_ATTACKS[form].title if form in REFERENCE_ATTACKS else in_words(form)


def forms_in_order(names: Iterable[str]) -> list[str]:
    """Return forms once each, in the order of the registry; unknown ones follow as they come."""
    from trustmia.attacks.reference import REFERENCE_ATTACKS

    found = list(dict.fromkeys(names))
    known = [n for n in (*ATTACKS, *REFERENCE_ATTACKS) if n in found]
    return known + [n for n in found if n not in known]


__all__ = ["ATTACKS", "Attack", "AttackSettings", "FittedAttack", "form_title", "forms_in_order"]
