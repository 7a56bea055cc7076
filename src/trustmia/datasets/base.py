"""A published data set: how to get, find and read it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from trustmia.arrays import Int64
from trustmia.datasets.fetching import Archive, FetchRequest, Unpack, extract_into, fetch_archives
from trustmia.errors import UserError
from trustmia.images.base import Dataset, Images
from trustmia.images.resizing import as_picture

Part = Literal["train", "all"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".JPEG"}
# What libraries raise for files that are missing, cut off or not in their format.
DAMAGED = (RuntimeError, OSError, ValueError, KeyError, TypeError, AssertionError, EOFError)


@dataclass(frozen=True)
class ImageFiles:
    """Images that are files.

    Attributes:
        paths: One file per image.
        labels: int64 [N].
    """

    paths: tuple[Path, ...]
    labels: Int64

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Int64) -> "ImageFiles":
        """Return the files at `index` (int64 [K])."""
        return ImageFiles(tuple(self.paths[i] for i in index.tolist()), self.labels[index])


Pictures: TypeAlias = Images | ImageFiles


def picture(pictures: Pictures, index: int) -> Image.Image:
    """Open one picture; its pixels may not be decoded yet.

    Raises:
        UserError: The file is no image, or is damaged.
    """
    if isinstance(pictures, Images):
        return as_picture(pictures.pixels[index])
    try:
        return Image.open(pictures.paths[index])
    except OSError as error:
        raise unreadable(pictures, index, error) from error


def unreadable(pictures: Pictures, index: int, error: OSError) -> UserError:
    """Return the error of a picture that Pillow cannot read."""
    place = pictures.paths[index] if isinstance(pictures, ImageFiles) else f"image {index}"
    return UserError(f"{place}: not a readable image ({error}); fetch the data set again")


@dataclass(frozen=True)
class DatasetSource:
    """A published data set.

    Attributes:
        name: Name in `params.yaml` and of `trustmia fetch`.
        title: Name for people.
        classes: Names of the classes, in the order of the labels.
        channels: Colour channels.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel, of pixels in [0, 1].
        files: What of the data folder belongs to it.
        load: Loads one or all of its parts from the data folder: training images first,
            in a fixed order that split indices refer to. Raises one of `DAMAGED` where it
            is not complete.
        archives: What its publisher offers.
        unpack: Turns the archives into `files`.
        plain_files: Files whose bytes, after so many, are all pixels of the data set in
            the order of `load`. They are copied as they are instead of written as an array:
            DVC stores the same content once, so that `outputs/images` costs the remote nothing.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    files: tuple[str, ...]
    load: Callable[[Path, Part], Pictures]
    archives: tuple[Archive, ...]
    unpack: Unpack = field(default_factory=extract_into)
    plain_files: tuple[tuple[str, int], ...] = ()

    def is_present(self, data: Path) -> bool:
        """Say whether all its files are in the data folder, without reading them."""
        return all((data / name).exists() for name in self.files)

    def read(self, data: Path, part: Part) -> Pictures:
        """Read its training images or all of them from the data folder.

        Raises:
            UserError: It is not complete in the data folder.
        """
        try:
            return self.load(data, part)
        except DAMAGED as error:
            raise incomplete([self], data) from error

    def fetch(self, data: Path, request: FetchRequest) -> str:
        """Get it from its publisher, verified, into the data folder (see `fetch_archives`)."""
        return fetch_archives(self.title, data, request, self.archives, self.files, self.unpack)

    def dataset(self, size: int) -> Dataset:
        """Return it as models are shown it, at a height and width in pixels."""
        return Dataset(self.name, self.classes, self.channels, size, self.mean, self.std)


def incomplete(sources: Sequence[DatasetSource], data: Path) -> UserError:
    """Return the error of data sets that are missing or damaged: the one command that gets them."""
    titles = ", ".join(dict.fromkeys(source.title for source in sources))
    names = " ".join(dict.fromkeys(source.name for source in sources))
    return UserError(
        f"{titles}: not complete in {data}/; run `trustmia fetch {names}`, or "
        f"`dvc pull {data}.dvc` where they are versioned"
    )


def image_folders(root: Path, classes: int) -> ImageFiles:
    """List images in one folder per class, both in alphabetical order.

    Args:
        root: Holds the folders.
        classes: Number of classes that there must be.

    Raises:
        FileNotFoundError: There is another number of classes, or one is empty.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    images = [sorted(p for p in f.iterdir() if p.suffix in SUFFIXES) for f in folders]
    if len(folders) != classes or not all(images):
        raise FileNotFoundError(f"{root}: {len(folders)} of {classes} classes")
    labels = np.repeat(np.arange(classes), [len(paths) for paths in images])
    return ImageFiles(tuple(p for paths in images for p in paths), labels.astype(np.int64))
