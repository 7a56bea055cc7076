"""SVHN (Netzer et al. 2011): 99,289 colour images of house-number digits, 32×32."""

from pathlib import Path

from trustmia.datasets.base import DatasetSource, Part
from trustmia.datasets.fetching import Archive, copy_as_they_are
from trustmia.datasets.torchvision_files import NAMES, read_splits, torchvision_class
from trustmia.images.base import Images

ARCHIVES = {
    "train": Archive(
        "train_32x32.mat",
        "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
        "e26dedcc434d2e4c54c9b2d4a06d8373",
    ),
    "test": Archive(
        "test_32x32.mat",
        "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
        "eb5a983be6a315427106f1b164d9cef3",
    ),
}


def load(data: Path, part: Part) -> Images:
    """Read the 73,257 training images and, for `all`, the 26,032 test images after them."""
    files = {name: [a.url, a.filename, a.md5] for name, a in ARCHIVES.items()}
    svhn = torchvision_class("SVHN", split_list=files)
    return read_splits(svhn, data, part, NAMES, lambda s: (s.data, s.labels))


SOURCE = DatasetSource(
    name="svhn",
    title="SVHN",
    classes=tuple("0123456789"),
    channels=3,
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    archives=tuple(ARCHIVES.values()),
    unpack=copy_as_they_are,
    files=tuple(archive.filename for archive in ARCHIVES.values()),
    load=load,
)
