"""What models are shown, in the order of the score file."""

from collections.abc import Iterator

from trustmia import paths
from trustmia.image_sets import HELD_OUT, IMAGE_SETS, MEMBERS
from trustmia.image_sets.derived import ShownInputs
from trustmia.images.base import Images
from trustmia.images.fakes import load_fakes
from trustmia.images.prepared import read_images
from trustmia.params import Params
from trustmia.registry import resolve
from trustmia.stages._inputs import read_split


def set_names(params: Params, role: str) -> list[str]:
    """Return the members, then what is shown beside them.

    The shadow, on which attacks are fitted, is shown its held-out images alone.
    """
    return [MEMBERS, *(params.image_sets.nonmember_sets if role == "target" else [HELD_OUT])]


def image_sets(params: Params, images: Images, role: str) -> Iterator[tuple[str, Images]]:
    """Yield the sets of `set_names`."""
    index = read_split(role)
    inputs = ShownInputs(
        held_out=images.take(index["non_members"]),
        fakes=lambda: load_fakes(paths.FAKES),
        max_fakes=params.image_sets.max_fakes,
        seed=params.seed,
    )
    for name in set_names(params, role):
        if name == MEMBERS:
            yield name, images.take(index["members"])
        elif IMAGE_SETS[name].ahead:
            yield name, read_images(paths.IMAGE_SETS / name)
        else:
            yield name, resolve(IMAGE_SETS[name].made_by)(inputs)
