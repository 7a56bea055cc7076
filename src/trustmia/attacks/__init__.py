"""Registry of membership inference attacks: an attack is one file."""

from collections.abc import Iterable

from trustmia.attacks.base import Attack
from trustmia.image_sets import in_words
from trustmia.registry import Registry

ATTACKS: Registry[Attack] = Registry(
    {
        "threshold": "trustmia.attacks.threshold:THRESHOLD",
        "entropy": "trustmia.attacks.entropy:ENTROPY",
        "salem": "trustmia.attacks.salem:SALEM",
        "lira": "trustmia.attacks.lira:LIRA",
        "rmia": "trustmia.attacks.rmia:RMIA",
        "loss": "trustmia.attacks.loss:LOSS",
        "difficulty": "trustmia.attacks.difficulty:DIFFICULTY",
    }
)


def form_title(form: str) -> str:
    """Return the name for people of a form of an attack, e.g. `Salem`, `LiRA offline`."""
    return _titles().get(form) or in_words(form)


def forms_in_order(names: Iterable[str]) -> list[str]:
    """Return forms once each, in the order of the registry; unknown ones last."""
    order = list(_titles())
    return sorted(dict.fromkeys(names), key=lambda n: order.index(n) if n in order else len(order))


def _titles() -> dict[str, str]:
    return {form.name: form.title for attack in ATTACKS.values() for form in attack.forms}
