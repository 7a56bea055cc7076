"""What the report calls image sets, attacks and variants, and in which order."""

from trustmia.attacks import form_title as attack_title
from trustmia.attacks import forms_in_order as attacks_in_order
from trustmia.image_sets import colours, in_words, title

__all__ = ["attack_title", "attacks_in_order"]

VARIANT_TITLES = {"llla": "LLLA"}
# The variant that the answer is about, if a study has it.
LEAD_VARIANT = "standard"


def variant_title(name: str) -> str:
    """Return a variant's name for people, e.g. `Label smoothing`."""
    return VARIANT_TITLES.get(name) or in_words(name)


def palette(sets: list[str]) -> dict[str, str]:
    """Return the colour of each image set's title."""
    return {title(name): colour for name, colour in colours(sets).items()}
