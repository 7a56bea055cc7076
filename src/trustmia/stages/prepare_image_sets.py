"""Stage `prepare_image_sets`: foreign images that the target is shown, as arrays."""

from pathlib import Path

from trustmia import files, paths
from trustmia.datasets import DATASETS
from trustmia.datasets.preparing import Shape, write_images
from trustmia.image_sets import IMAGE_SETS
from trustmia.image_sets.foreign import ForeignInputs
from trustmia.params import Params, load_params
from trustmia.registry import resolve


def main() -> None:
    """Write a folder per image set to `outputs/images/sets`, and their sizes."""
    params = load_params()
    foreign = [name for name in params.image_sets.nonmember_sets if IMAGE_SETS[name].ahead]
    with files.atomic_folder(paths.IMAGE_SETS) as fresh:
        sizes = {name: prepare(params, name, fresh / name) for name in foreign}
        files.write_json(fresh / "sizes.json", sizes)


def prepare(params: Params, name: str, folder: Path) -> int:
    """Write one image set in the form of `images.prepared`; return its size."""
    folder.mkdir()
    image_set, dataset = IMAGE_SETS[name], params.dataset
    shape = Shape(DATASETS[dataset.name].channels, dataset.size, dataset.fit)
    inputs = ForeignInputs(
        name=name,
        image_set=image_set,
        data=paths.DATA,
        channels=shape.channels,
        size=dataset.size,
        max_images=params.image_sets.max_images,
        num_patches=params.image_sets.num_patches,
        seed=params.seed,
    )
    pictures = resolve(image_set.made_by)(inputs)
    write_images(folder, pictures, shape, labelled=False, name=name)
    return len(pictures)
