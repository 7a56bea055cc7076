"""What the report calls image sets, attacks and variants, and in which order."""

from collections.abc import Iterable

from trustmia.attacks import ATTACKS
from trustmia.attacks.reference import REFERENCE_ATTACKS
from trustmia.measures.results import SET_COLOURS, colours

MEMBERS = "members"
HELD_OUT = "original"
FAKE = "fake"
SET_TITLES = {
    MEMBERS: "Members",
    HELD_OUT: "Held-out",
    "permuted": "Permuted",
    "scaled": "Scaled",
    "no_normalization": "Not normalised",
    FAKE: "Fake",
    "digits": "Digits",
    "patches": "Patches",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "stl10": "STL-10",
    "svhn": "SVHN",
    "fashion_mnist": "Fashion-MNIST",
    "stanford_dogs": "Stanford Dogs",
    "afhq_dogs": "AFHQ dogs",
    "afhq_cats": "AFHQ cats",
    "afhq_wild": "AFHQ wild",
}
VARIANT_TITLES = {"llla": "LLLA"}
# The variant that the answer is about, if a study has it.
LEAD_VARIANT = "standard"


def set_title(name: str) -> str:
    """Return an image set's name for people."""
    return SET_TITLES.get(name) or _words(name)


def attack_title(name: str) -> str:
    """Return an attack's name for people, e.g. `Salem`, `LiRA offline`."""
    if name in ATTACKS:
        return ATTACKS[name].title.removesuffix(" Attack")
    return REFERENCE_ATTACKS[name].title if name in REFERENCE_ATTACKS else _words(name)


def variant_title(name: str) -> str:
    """Return a variant's name for people, e.g. `Label smoothing`."""
    return VARIANT_TITLES.get(name) or _words(name)


def _words(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def in_order(names: Iterable[str]) -> list[str]:
    """Return image sets once each: those of the palette first, the others as they come."""
    found = list(dict.fromkeys(names))
    return [n for n in SET_COLOURS if n in found] + [n for n in found if n not in SET_COLOURS]


def attacks_in_order(names: Iterable[str]) -> list[str]:
    """Return attacks once each, in the order of the registries."""
    found = list(dict.fromkeys(names))
    known = [n for n in (*ATTACKS, *REFERENCE_ATTACKS) if n in found]
    return known + [n for n in found if n not in known]


def palette(sets: list[str]) -> dict[str, str]:
    """Return the colour of each image set's title."""
    return {set_title(name): colour for name, colour in colours(sets).items()}
