"""Stage `embed`: the target's features of members, held-out and fake images in the plane."""

import numpy as np
import pandas as pd

from trustmia import files, paths
from trustmia.exhibits.embedding import tsne
from trustmia.images.prepared import read_dataset
from trustmia.params import load_params
from trustmia.signals.features import read_features


def main() -> None:
    """Write `plots/tsne.csv`."""
    params = load_params()
    sample = read_features(paths.FEATURES / "target.npz")
    classes = np.asarray(read_dataset(paths.DATASET).classes)
    x, y = tsne(sample.features, params.seed).T
    table = pd.DataFrame({"x": x, "y": y, "set": sample.sets, "label": classes[sample.labels]})
    files.write_table(paths.PLOTS / "tsne.csv", table, "%.4f")
