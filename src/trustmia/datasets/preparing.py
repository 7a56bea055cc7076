"""Decodes and resizes pictures once, by all cores, into arrays that stages memory-map."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from trustmia.arrays import UInt8
from trustmia.datasets.base import DatasetSource, Pictures, incomplete, picture, unreadable
from trustmia.images import Fit, prepared
from trustmia.images.base import Images
from trustmia.images.resizing import (
    MODES,
    as_pixels,
    fit_square,
    resize,
    shorter_side_to,
    uncropped_side,
)


@dataclass(frozen=True)
class Shape:
    """How models are shown images.

    Attributes:
        channels: 1 (grey) or 3 (colour).
        size: Height and width in pixels.
        fit: See `resizing.fit_square`.
    """

    channels: int
    size: int
    fit: Fit


def write_images(folder: Path, pictures: Pictures, shape: Shape, labelled: bool, name: str) -> None:
    """Write `pixels.npy` and `labels.npy`.

    Args:
        folder: Exists.
        pictures: Images, or files of images.
        shape: What they become.
        labelled: Whether labels are classes of the target's; they are written as -1 if not.
        name: What the images are, for the progress bar.

    Raises:
        UserError: A file is no image.
    """
    labels = pictures.labels if labelled else np.full(len(pictures), -1, dtype=np.int64)
    np.save(folder / prepared.LABELS, labels, allow_pickle=False)
    total = (len(pictures), shape.channels, shape.size, shape.size)
    if isinstance(pictures, Images) and pictures.pixels.shape == total:
        np.save(folder / prepared.PIXELS, pictures.pixels, allow_pickle=False)
        return
    pixels: UInt8 = np.lib.format.open_memmap(folder / prepared.PIXELS, "w+", np.uint8, total)

    def put(index: int) -> None:
        square = fit_square(_opened(pictures, index, shape), shape.size, shape.fit)
        pixels[index] = as_pixels(square)

    _for_each(len(pictures), put, name)


def write_dataset(
    folder: Path, source: DatasetSource, data: Path, size: int, fit: Fit, augmented: bool
) -> None:
    """Write a data set in the form of `images.prepared`.

    Args:
        folder: Exists.
        source: The data set.
        data: The data folder.
        size: Height and width of the images.
        fit: See `resizing.fit_square`.
        augmented: Whether training needs the images before they are cropped, too.

    Raises:
        UserError: The data set is not complete in the data folder, or a file is no image.
    """
    pictures = source.read(data, "all")
    shape = Shape(source.channels, size, fit)
    pixel_files = None
    plain = source.plain_files
    if plain and isinstance(pictures, Images) and pictures.pixels.shape[2] == size:
        pixel_files = [(Path(file).name, offset) for file, offset in plain]
        for file, _ in plain:
            shutil.copyfile(data / file, folder / Path(file).name)
        np.save(folder / prepared.LABELS, pictures.labels, allow_pickle=False)
    else:
        write_images(folder, pictures, shape, labelled=True, name=source.title)
    content = prepared.describe(source.dataset(size), pixel_files)
    (folder / prepared.DESCRIPTION).write_text(content, encoding="utf-8")
    if augmented:
        write_uncropped(folder, pictures, shape, source.title)


def write_uncropped(folder: Path, pictures: Pictures, shape: Shape, name: str) -> None:
    """Write `uncropped.npy` and `shapes.npy`: images before rotation and random crop.

    Args:
        folder: Exists.
        pictures: Images, or files of images.
        shape: What augmentation makes of them in the end.
        name: What the images are, for the progress bar.
    """
    side = uncropped_side(shape.size)
    sizes = [shorter_side_to(picture(pictures, i).size, side) for i in range(len(pictures))]
    shapes = np.asarray([(shape.channels, height, width) for width, height in sizes], np.int64)
    np.save(folder / prepared.SHAPES, shapes, allow_pickle=False)
    total = int(shapes.prod(axis=1).sum())
    pixels = np.lib.format.open_memmap(folder / prepared.UNCROPPED, "w+", np.uint8, (total,))
    uncropped = prepared.Uncropped(pixels, shapes, prepared.starts_of(shapes))

    def put(index: int) -> None:
        uncropped[index][:] = as_pixels(resize(_opened(pictures, index, shape), side))

    _for_each(len(pictures), put, f"{name}, uncropped")


def _opened(pictures: Pictures, index: int, shape: Shape) -> Image.Image:
    """Open a picture in the right colours, before they are mixed by resizing."""
    opened = picture(pictures, index)
    try:
        return opened.convert(MODES[shape.channels])
    except OSError as error:
        raise unreadable(pictures, index, error) from error


def _for_each(count: int, work: Callable[[int], None], name: str) -> None:
    """Call `work` for every index; Pillow decodes and resizes outside Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in tqdm(pool.map(work, range(count)), desc=name, total=count, unit="image"):
            pass


def require(sources: list[DatasetSource], data: Path) -> None:
    """Check that data sets are in the data folder, before hours of training.

    Raises:
        UserError: Some are not; the message has the one command that gets them.
    """
    absent = [source for source in sources if not source.is_present(data)]
    if absent:
        raise incomplete(absent, data)
