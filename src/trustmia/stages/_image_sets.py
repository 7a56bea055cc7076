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


def image_sets(params: Params, images: Images, role: str) -> Iterator[tuple[str, Images]]:
    """Yield the members, then what is shown beside them.

    The shadow, on which attacks are fitted, is shown its held-out images alone.
    """
    index = read_split(role)
    yield MEMBERS, images.take(index["members"])
    inputs = ShownInputs(
        held_out=images.take(index["non_members"]),
        fakes=lambda: load_fakes(paths.FAKES),
        max_fakes=params.predict.max_fakes,
        seed=params.seed,
    )
    for name in params.predict.nonmember_sets if role == "target" else [HELD_OUT]:
        if IMAGE_SETS[name].ahead:
            yield name, read_images(paths.IMAGE_SETS / name)
        else:
            yield name, resolve(IMAGE_SETS[name].made_by)(inputs)
