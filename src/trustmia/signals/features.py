"""Penultimate features of some of the images that a model was shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trustmia import files
from trustmia.arrays import Float32, Int64
from trustmia.image_sets import FAKE, HELD_OUT, MEMBERS
from trustmia.image_sets.sampling import draw_at_most
from trustmia.signals.checks import check_rows

FEATURE_SETS = (MEMBERS, HELD_OUT, FAKE)


@dataclass(frozen=True)
class FeatureSample:
    """What enters a model's last layer for some images.

    Attributes:
        features: float32 [N, F].
        labels: int64 [N].
        sets: str [N], the image set of each image.
    """

    features: Float32
    labels: Int64
    sets: npt.NDArray[np.str_]


def sample_features(
    name: str, features: Float32, labels: Int64, max_images: int, seed: int
) -> FeatureSample:
    """Draw at most `max_images` of a set, of whose features float32 [N, F] and labels int64 [N]."""
    index = draw_at_most(len(labels), max_images, seed, f"features/{name}")
    return FeatureSample(features[index], labels[index], np.full(len(index), name))


def write_features(path: Path, samples: Sequence[FeatureSample]) -> None:
    """Write the samples of several sets, one after the other."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "features": np.concatenate([sample.features for sample in samples]),
        "labels": np.concatenate([sample.labels for sample in samples]),
        "set": np.concatenate([sample.sets for sample in samples]),
    }
    files.write_arrays(path, arrays)


def read_features(path: Path) -> FeatureSample:
    """Read what `write_features` wrote.

    Raises:
        UserError: The file is missing or damaged, or a feature is not a finite number.
    """
    arrays = files.read_output(path, "predict", "features", "labels", "set")
    sample = FeatureSample(*arrays.values())
    broken = ~np.logical_and.reduce(np.isfinite(sample.features), axis=1)
    check_rows(path, broken, lambda row: "of features has NaN or infinity")
    return sample
