"""Stage `prepare_dataset`: the target's data set as arrays."""

from trustmia import files, paths
from trustmia.datasets import DATASETS
from trustmia.datasets.preparing import require, write_dataset
from trustmia.params import load_params


def main() -> None:
    """Write `outputs/images/dataset`.

    Data sets that only later stages read have to be there, too: better to say so now
    than after the training.
    """
    params = load_params()
    source = DATASETS[params.dataset.name]
    require([source, *(DATASETS[name] for name in params.image_sets.datasets())], paths.DATA)
    augmented = params.train.augmentation != "none"
    with files.atomic_folder(paths.DATASET) as fresh:
        size, fit = params.dataset.size, params.dataset.fit
        write_dataset(fresh, source, paths.DATA, size, fit, augmented)
