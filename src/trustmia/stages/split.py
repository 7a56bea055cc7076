"""Stage `split`: which image belongs to whom."""

from trustmia import files, paths
from trustmia.images.prepared import read_prepared
from trustmia.params import load_params
from trustmia.splits.published import published_split
from trustmia.splits.stratified import split_indices


def main() -> None:
    """Write `outputs/split/{target,shadow,generator}.npz`."""
    params = load_params()
    labels = read_prepared(paths.DATASET).images.labels
    if params.split.method == "published":
        split = published_split(params.dataset.name, labels, params.split, params.seed)
    else:
        split = split_indices(labels, params.split, params.seed)
    for owner, parts in split.items():
        files.write_arrays(paths.SPLIT / f"{owner}.npz", parts)
