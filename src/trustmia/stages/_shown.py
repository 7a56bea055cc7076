"""The images that a model is shown, in the order of its score file."""

from collections.abc import Iterator

from trustmia import paths as layout
from trustmia.generators.fakes import load_fakes
from trustmia.image_sets.derived import DERIVED_SETS, ImageSetInputs
from trustmia.images.base import Images
from trustmia.images.prepared import read_images
from trustmia.params import Params
from trustmia.signals.scores import MEMBERS
from trustmia.stages._inputs import read_split


def image_sets(params: Params, images: Images, role: str) -> Iterator[tuple[str, Images]]:
    """Yield the members, then what is shown beside them.

    The shadow, on which attacks are fitted, is shown its held-out images alone.
    """
    index = read_split(role)
    yield MEMBERS, images.take(index["members"])
    inputs = ImageSetInputs(
        non_members=images.take(index["non_members"]),
        fakes=lambda: load_fakes(layout.FAKES),
        max_fakes=params.predict.max_fakes,
        seed=params.seed,
    )
    for name in params.predict.nonmember_sets if role == "target" else ["original"]:
        if name in DERIVED_SETS:
            yield name, DERIVED_SETS[name](inputs)
        else:
            yield name, read_images(layout.IMAGE_SETS / name)
