"""Stage `prepare_image_sets`: foreign images that the target is shown, as arrays."""

from pathlib import Path

from trustmia import files
from trustmia import paths as layout
from trustmia.datasets import DATASETS
from trustmia.datasets.preparing import Shape, write_images
from trustmia.image_sets.foreign import BUNDLED_SETS, PUBLISHED_SETS, BundledSetInputs
from trustmia.images.sampling import draw_at_most
from trustmia.params import Params, load_params
from trustmia.stages._runner import run_stage


def main() -> None:
    """Write a folder per image set to `outputs/images/sets`, and their sizes."""
    params = load_params()
    foreign = [n for n in params.predict.nonmember_sets if n in {**BUNDLED_SETS, **PUBLISHED_SETS}]
    with files.atomic_folder(layout.IMAGE_SETS) as fresh:
        sizes = {name: prepare(params, name, fresh / name) for name in foreign}
        files.write_json(fresh / "sizes.json", sizes)


def prepare(params: Params, name: str, folder: Path) -> int:
    """Write one image set in the form of `images.prepared`; return its size."""
    folder.mkdir()
    channels = DATASETS[params.dataset.name].channels
    shape = Shape(channels, params.dataset.size, params.dataset.fit)
    if name in PUBLISHED_SETS:
        everything = PUBLISHED_SETS[name].read(layout.DATA)
        limit = params.predict.max_images
        pictures = everything.take(draw_at_most(len(everything), limit, params.seed, name))
    else:
        num_patches = params.predict.num_patches
        inputs = BundledSetInputs(channels, params.dataset.size, num_patches, params.seed)
        pictures = BUNDLED_SETS[name](inputs)
    write_images(folder, pictures, shape, labelled=False, name=name)
    return len(pictures)


if __name__ == "__main__":
    run_stage(main)
