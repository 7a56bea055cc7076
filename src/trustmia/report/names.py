"""What the report calls image sets, attacks and variants, and in which order."""

from collections.abc import Iterable

from trustmia.attacks import ATTACKS
from trustmia.attacks.reference import REFERENCE_ATTACKS
from trustmia.image_sets import colours, in_words, title

VARIANT_TITLES = {"llla": "LLLA"}
# The variant that the answer is about, if a study has it.
LEAD_VARIANT = "standard"


def attack_title(name: str) -> str:
    """Return an attack's name for people, e.g. `Salem`, `LiRA offline`."""
    if name in ATTACKS:
        return ATTACKS[name].title.removesuffix(" Attack")
    return REFERENCE_ATTACKS[name].title if name in REFERENCE_ATTACKS else in_words(name)


def variant_title(name: str) -> str:
    """Return a variant's name for people, e.g. `Label smoothing`."""
    return VARIANT_TITLES.get(name) or in_words(name)


def attacks_in_order(names: Iterable[str]) -> list[str]:
    """Return attacks once each, in the order of the registries."""
    found = list(dict.fromkeys(names))
    known = [n for n in (*ATTACKS, *REFERENCE_ATTACKS) if n in found]
    return known + [n for n in found if n not in known]


def palette(sets: list[str]) -> dict[str, str]:
    """Return the colour of each image set's title."""
    return {title(name): colour for name, colour in colours(sets).items()}
