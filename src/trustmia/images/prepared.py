"""The images of a data set or image set as arrays on disk, memory-mapped when read.

A folder holds `labels.npy` and `pixels.npy`. That of the target's data set also has
`dataset.json`, and, where training augments images, `uncropped.npy` and `shapes.npy`.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trustmia import files
from trustmia.arrays import Int64, UInt8
from trustmia.images.base import Dataset, Images

DESCRIPTION, PIXELS, LABELS = "dataset.json", "pixels.npy", "labels.npy"
UNCROPPED, SHAPES = "uncropped.npy", "shapes.npy"
STAGE = "prepare_dataset"
# Copy on write: the file stays as it is, and PyTorch may take the array for its own.
MAPPED: Final = "c"


@dataclass(frozen=True)
class Uncropped:
    """Images of different sizes, one after the other in memory.

    Attributes:
        pixels: uint8 [P]; each image is [C, H, W].
        shapes: int64 [N, 3], C, H and W of every image.
        starts: int64 [N], where in `pixels` each image begins.
    """

    pixels: UInt8
    shapes: Int64
    starts: Int64

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> UInt8:
        shape, start = self.shapes[index], self.starts[index]
        image: UInt8 = self.pixels[start : start + shape.prod()].reshape(shape)
        return image

    def take(self, index: Int64) -> "Uncropped":
        """Return the images at `index` (int64 [K]); pixels are not copied."""
        return Uncropped(self.pixels, self.shapes[index], self.starts[index])


@dataclass(frozen=True)
class Prepared:
    """A data set as stages read it.

    Attributes:
        dataset: What it is.
        images: All its images, square.
        uncropped: The same images before they are cropped, where training needs them.
    """

    dataset: Dataset
    images: Images
    uncropped: Uncropped | None


def starts_of(shapes: Int64) -> Int64:
    """Return where images of these shapes (int64 [N, 3]) begin, one after the other."""
    ends = shapes.prod(axis=1).cumsum()
    return np.concatenate([[0], ends[:-1]]).astype(np.int64)


def describe(dataset: Dataset, pixel_files: list[tuple[str, int]] | None) -> str:
    """Return the content of `dataset.json`.

    `pixel_files` are to be read one after the other instead of `pixels.npy`; with each comes the
    number of bytes before its first pixel.
    """
    return json.dumps(asdict(dataset) | {"pixel_files": pixel_files}, indent=2) + "\n"


def read_dataset(folder: Path) -> Dataset:
    """Read what a prepared data set is, without its images.

    Raises:
        UserError: The folder is missing or damaged.
    """
    return _read_description(folder)[0]


def read_prepared(folder: Path) -> Prepared:
    """Read a prepared data set.

    Raises:
        UserError: The folder is missing or damaged.
    """
    dataset, pixel_files = _read_description(folder)
    labels = _read_array(folder / LABELS)
    if pixel_files is None:
        pixels = _read_array(folder / PIXELS)
    else:
        shape = (-1, dataset.channels, dataset.size, dataset.size)
        parts = [_read_plain(folder / name, offset, shape) for name, offset in pixel_files]
        pixels = np.concatenate(parts)
    uncropped = None
    if (folder / UNCROPPED).exists():
        shapes = np.asarray(_read_array(folder / SHAPES))
        uncropped = Uncropped(_read_array(folder / UNCROPPED), shapes, starts_of(shapes))
    return Prepared(dataset, Images(pixels, np.asarray(labels)), uncropped)


def read_images(folder: Path) -> Images:
    """Read a prepared image set.

    Raises:
        UserError: The folder is missing or damaged.
    """
    pixels, labels = (_read_array(folder / n, "prepare_image_sets") for n in (PIXELS, LABELS))
    return Images(pixels, np.asarray(labels))


def _read_description(folder: Path) -> tuple[Dataset, list[tuple[str, int]] | None]:
    path = folder / DESCRIPTION
    with files.written_by(STAGE, path, folder):
        content = files.read_json(path)
        pixel_files = content.pop("pixel_files")
        for key in ("classes", "mean", "std"):
            content[key] = tuple(content[key])
        return Dataset(**content), pixel_files


def _read_array(path: Path, stage: str = STAGE) -> Any:
    with files.written_by(stage, path, path.parent):
        return np.load(path, mmap_mode=MAPPED, allow_pickle=False)


def _read_plain(path: Path, offset: int, shape: tuple[int, ...]) -> UInt8:
    with files.written_by(STAGE, path, path.parent):
        return np.memmap(path, np.uint8, "r", offset=offset).reshape(shape)
