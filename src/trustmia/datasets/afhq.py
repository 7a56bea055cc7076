"""AFHQ (Choi et al. 2020, "StarGAN v2"): 15,803 faces of cats, dogs, wild animals, 512×512."""

from pathlib import Path

import numpy as np

from trustmia.datasets.base import DatasetSource, ImageFiles, Part, image_folders
from trustmia.datasets.fetching import Archive

FOLDER = "afhq"
CLASSES = ("cat", "dog", "wild")


def load(data: Path, part: Part) -> ImageFiles:
    """List the training images and, for `all`, the validation images after them."""
    names = ["train"] if part == "train" else ["train", "val"]
    parts = [image_folders(data / FOLDER / name, len(CLASSES)) for name in names]
    paths = tuple(path for files in parts for path in files.paths)
    return ImageFiles(paths, np.concatenate([files.labels for files in parts]))


SOURCE = DatasetSource(
    name="afhq",
    title="AFHQ",
    classes=CLASSES,
    channels=3,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    archives=(
        Archive(
            "afhq.zip",
            "https://www.dropbox.com/s/raw/t9l9o3vsx2jai3z/afhq.zip",
            "6909887208505a6e70d732fa20629995",
        ),
    ),
    files=(f"{FOLDER}/train", f"{FOLDER}/val"),
    load=load,
)
