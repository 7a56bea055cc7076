"""Stage `prepare_dataset`: the target's data set as arrays."""

from trustmia import files
from trustmia import paths as layout
from trustmia.datasets import DATASETS
from trustmia.datasets.preparing import require, write_dataset
from trustmia.image_sets.foreign import PUBLISHED_SETS
from trustmia.params import load_params
from trustmia.stages._runner import run_stage


def main() -> None:
    """Write `outputs/images/dataset`.

    Data sets that only later stages read have to be there, too: better to say so now
    than after the training.
    """
    params = load_params()
    shown = [PUBLISHED_SETS[n] for n in params.predict.nonmember_sets if n in PUBLISHED_SETS]
    source = DATASETS[params.dataset.name]
    require([source, *(DATASETS[image_set.dataset] for image_set in shown)], layout.DATA)
    augmented = params.train.augmentation != "none"
    with files.atomic_folder(layout.DATASET) as fresh:
        size, fit = params.dataset.size, params.dataset.fit
        write_dataset(fresh, source, layout.DATA, size, fit, augmented)


if __name__ == "__main__":
    run_stage(main)
