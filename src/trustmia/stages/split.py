"""Stage `split`: which image belongs to whom."""

from trustmia import entry, files, layout
from trustmia.datasets import DATASETS
from trustmia.datasets.splits import split_indices
from trustmia.params import load_params


def main() -> None:
    """Write `outputs/split/{target,shadow,generator}.npz`."""
    params = load_params()
    labels = DATASETS[params.dataset.name].load(layout.DATA).labels
    split = split_indices(labels, params.split.sizes(), params.split.pool_seed, params.seed)
    for owner, parts in split.items():
        files.write_arrays(layout.SPLIT / f"{owner}.npz", parts)


if __name__ == "__main__":
    entry.run("split", main)
