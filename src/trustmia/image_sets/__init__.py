"""Registry of the image sets that a model is shown: what is known of each, without its images."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

MEMBERS, HELD_OUT, FAKE = "members", "original", "fake"
# The images that attacks are ranked on; all other sets are further non-members.
AUDITED = (MEMBERS, HELD_OUT)


@dataclass(frozen=True)
class ImageSet:
    """An image set.

    Attributes:
        title: Name for people.
        made_by: Address of what makes it (see `registry.resolve`): of `ShownInputs` (module
            `derived`) or, where it is made ahead, of `ForeignInputs` (module `foreign`).
        ahead: It is made of other data, before any model is trained.
        of_held_out: It is made of the held-out images, one by one and in their order: each
            keeps its label, and the reference models that were trained on its original. Other
            images have no label that a model could have been trained with.
        normalised: Whether its pixels are normalised as the training images are.
        scale: What they are multiplied by afterwards.
        colour: Its colour in figures, of Okabe and Ito's palette, which colour-blind people
            can tell apart; None: one that is left.
        dataset: The published data set that it is of.
        classes: The classes of it that are shown; None: all.
    """

    title: str
    made_by: str
    ahead: bool = False
    of_held_out: bool = False
    normalised: bool = True
    scale: float = 1.0
    colour: str | None = None
    dataset: str | None = None
    classes: tuple[str, ...] | None = None


def _derived(
    title: str, maker: str, colour: str, normalised: bool = True, scale: float = 1.0
) -> ImageSet:
    address = f"trustmia.image_sets.derived:{maker}"
    return ImageSet(
        title, address, of_held_out=True, normalised=normalised, scale=scale, colour=colour
    )


def _published(title: str, dataset: str, classes: tuple[str, ...] | None = None) -> ImageSet:
    maker = "trustmia.image_sets.foreign:published"
    return ImageSet(title, maker, ahead=True, dataset=dataset, classes=classes)


_MEMBERS = ImageSet("Members", "", colour="#000000")
IMAGE_SETS: dict[str, ImageSet] = {
    HELD_OUT: _derived("Held-out", "held_out", "#0072B2"),
    "permuted": _derived("Permuted", "permuted", "#56B4E9"),
    "scaled": _derived("Scaled", "held_out", "#009E73", scale=255.0),
    "no_normalization": _derived("Not normalised", "held_out", "#F0E442", normalised=False),
    FAKE: ImageSet("Fake", "trustmia.image_sets.derived:fakes", colour="#D55E00"),
    "digits": ImageSet("Digits", "trustmia.image_sets.foreign:digits", True, colour="#CC79A7"),
    "patches": ImageSet("Patches", "trustmia.image_sets.foreign:patches", True, colour="#E69F00"),
    "fashion_mnist": _published("Fashion-MNIST", "fashion_mnist"),
    "cifar10": _published("CIFAR-10", "cifar10"),
    "cifar100": _published("CIFAR-100", "cifar100"),
    # Without monkeys, the one class that CIFAR-10 does not have.
    "stl10": _published(
        "STL-10",
        "stl10",
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "ship", "truck"),
    ),
    "svhn": _published("SVHN", "svhn"),
    "stanford_dogs": _published("Stanford Dogs", "stanford_dogs"),
    "afhq_dogs": _published("AFHQ dogs", "afhq", ("dog",)),
    "afhq_cats": _published("AFHQ cats", "afhq", ("cat",)),
    "afhq_wilds": _published("AFHQ wild animals", "afhq", ("wild",)),
    "afhq_non_dogs": _published("AFHQ cats and wild animals", "afhq", ("cat", "wild")),
}
# Sets made of held-out images (see `ImageSet.of_held_out`).
OF_HELD_OUT = tuple(name for name, image_set in IMAGE_SETS.items() if image_set.of_held_out)
# Colours of sets without one of their own, in turn.
SPARE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")


def _known(name: str) -> ImageSet:
    """Return what is known of a set: of one that somebody brings, its name in words."""
    return _MEMBERS if name == MEMBERS else IMAGE_SETS.get(name) or ImageSet(in_words(name), "")


def title(name: str) -> str:
    """Return an image set's name for people; of a set that somebody brings, its name in words."""
    return _known(name).title


def pixels_of(name: str) -> tuple[bool, float]:
    """Return whether a set's pixels are normalised as those of training images, and the scale."""
    return _known(name).normalised, _known(name).scale


def in_words(name: str) -> str:
    """Return a name as words, e.g. `Label smoothing` of `label_smoothing`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def has_colour(name: str) -> bool:
    """Say whether a set has a colour of its own."""
    return _known(name).colour is not None


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return the colour of each image set; those without one share the spare ones."""
    spares = itertools.cycle(SPARE_COLOURS)
    return {name: _known(name).colour or next(spares) for name in dict.fromkeys(names)}


def in_order(names: Iterable[str]) -> list[str]:
    """Return image sets once each: those with a colour of their own first, in the registry's order.

    The others follow as they come.
    """
    distinct = list(dict.fromkeys(names))
    first = [name for name in (MEMBERS, *IMAGE_SETS) if name in distinct and has_colour(name)]
    return first + [name for name in distinct if name not in first]
