"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 70,000 grey images of clothes, 28×28."""

import gzip
import hashlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from trustmia.datasets import fetching
from trustmia.datasets.base import DatasetSource, Part
from trustmia.datasets.fetching import FetchRequest, one_line_errors, replace
from trustmia.datasets.torchvision_files import FLAGS, Arrays, read_splits, torchvision_class
from trustmia.errors import UserError
from trustmia.images.base import Images

DEBIAN_PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("usr/share/datasets/fashion-mnist")
PUBLISHER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"


@dataclass(frozen=True)
class Archive:
    """A published gzip archive: its MD5 and the modification time in its header."""

    md5: str
    modified: int


# MD5 sums as published in the data set's README.
ARCHIVES = {
    "train-images-idx3-ubyte": Archive("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 1504176606),
    "train-labels-idx1-ubyte": Archive("25c81989df183df01b3e8a0aad5dffbe", 1504176606),
    "t10k-images-idx3-ubyte": Archive("bef4ecab320f06d8554ea6380940ec79", 1504176627),
    "t10k-labels-idx1-ubyte": Archive("bb300cfdad3c16e7a12a480ee83cd310", 1504176627),
}
CLASSES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
LICENCE = """\
The MIT License (MIT)

Copyright © 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the “Software”), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED “AS IS”, WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


class SourceUnavailable(Exception):
    """A source does not have the data set; the next one may."""


def read(data: Path, part: Part) -> Images:
    """Read the 60,000 training images and, for `all`, the 10,000 test images after them.

    Args:
        data: The data folder, in torchvision's layout.
        part: `train` or `all`.

    Raises:
        UserError: The data set is not in the folder.
    """
    complaint = UserError(
        f"Fashion-MNIST is not complete in {data}/FashionMNIST/raw: run `dvc pull data.dvc` or "
        "`trustmia fetch fashion_mnist`"
    )

    def arrays(split: Any) -> Arrays:
        return split.data.numpy()[:, None], split.targets.numpy()

    kind = torchvision_class("FashionMNIST")
    return read_splits(kind, data, part, FLAGS, arrays, complaint)


def fetch(data: Path, request: FetchRequest) -> str:
    """Get the data set from scratch into `data`, replacing what is there once verified.

    Sources are what the request names or, in this order: the files of Debian's package
    `dataset-fashion-mnist` where it is installed, the package itself where apt can
    download it, torchvision's mirrors.

    Returns:
        The source that was used, for people.

    Raises:
        UserError: No source has the data set, or a checksum is wrong.
    """
    with one_line_errors("Fashion-MNIST"):
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data.parent, prefix=".fetch-") as scratch:
            name, archives = first_source(Path(scratch) / "archives", request)
            ready = Path(scratch) / "FashionMNIST"
            unpack(archives, ready / "raw")
            (ready / "LICENSE").write_text(LICENCE, encoding="utf-8")
            replace(ready, data / "FashionMNIST", Path(scratch) / "previous")
    return name


def first_source(place: Path, request: FetchRequest) -> tuple[str, Path]:
    """Return the first source that has the archives, for people, and their folder.

    Args:
        place: A folder that sources may make and fill.
        request: What the user wants.
    """
    if request.mirror or request.archives:
        place.mkdir()
        for archive in published_files():
            path = fetching.obtain(archive, request)
            take = shutil.move if path.parent == request.downloads else shutil.copyfile
            take(path, place / archive.filename)
        return request.mirror or ", ".join(map(str, request.archives)), place
    refusals = []
    for name, source in SOURCES.items():
        try:
            return name, source(place)
        except SourceUnavailable as reason:
            refusals.append(f"{name} ({reason})")
    raise UserError(
        "Fashion-MNIST: no source answered: " + "; ".join(refusals) + ". "
        f"Install Debian's package {DEBIAN_PACKAGE}, or run again with a network"
    )


def published_files() -> tuple[fetching.Archive, ...]:
    """Return the archives with their addresses."""
    return tuple(
        fetching.Archive(f"{name}.gz", f"{PUBLISHER}/{name}.gz", archive.md5)
        for name, archive in ARCHIVES.items()
    )


def unpack(archives: Path, raw: Path) -> None:
    """Verify the four published archives and decompress them into `raw`.

    Raises:
        UserError: An archive is missing or its MD5 is not the published one.
    """
    raw.mkdir(parents=True)
    for name, published in ARCHIVES.items():
        archive = archives / f"{name}.gz"
        if not archive.is_file():
            raise UserError(f"Fashion-MNIST: {archive.name} is missing from its source")
        content = archive.read_bytes()
        checksum = md5(content)
        if checksum != published.md5 and md5(published_form(name, content)) != published.md5:
            raise UserError(
                f"Fashion-MNIST: {archive.name} has MD5 {checksum}, published is {published.md5}; "
                "nothing was changed. Run `trustmia fetch fashion_mnist` again"
            )
        (raw / name).write_bytes(gzip.decompress(content))


def md5(content: bytes) -> str:
    """Return the MD5 sum in hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def published_form(name: str, content: bytes) -> bytes:
    """Give a gzip archive the header that the published one has.

    Debian strips the file's name and time from the header, to build the same package
    twice, and leaves the compressed data as published. With both put back, the archive
    must have the published MD5.
    """
    if content[:4] != b"\x1f\x8b\x08\x00":
        return content
    time = struct.pack("<I", ARCHIVES[name].modified)
    return content[:3] + b"\x08" + time + content[8:10] + name.encode() + b"\0" + content[10:]


def _from_installed_package(archives: Path) -> Path:
    folder = Path("/") / INSTALLED
    if not folder.is_dir():
        raise SourceUnavailable("not installed")
    return folder


def _from_debian_archive(archives: Path) -> Path:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SourceUnavailable("no apt on this machine")
    archives.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "download", DEBIAN_PACKAGE], archives)
        package = next(archives.glob("*.deb"))
        _run(["dpkg-deb", "--extract", package.name, "tree"], archives)
    except (subprocess.SubprocessError, StopIteration) as error:
        raise SourceUnavailable("apt could not download it") from error
    return archives / "tree" / INSTALLED


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)


def _from_torchvision(archives: Path) -> Path:
    try:
        torchvision_class("FashionMNIST")(str(archives), download=True)
    except (RuntimeError, URLError, OSError) as error:
        raise SourceUnavailable("its mirrors did not answer") from error
    return archives / "FashionMNIST" / "raw"


SOURCES: dict[str, Callable[[Path], Path]] = {
    f"the installed Debian package {DEBIAN_PACKAGE}": _from_installed_package,
    f"Debian's package {DEBIAN_PACKAGE}": _from_debian_archive,
    "torchvision's mirrors": _from_torchvision,
}

SOURCE = DatasetSource(
    name="fashion_mnist",
    title="Fashion-MNIST",
    classes=tuple(CLASSES.split(", ")),
    channels=1,
    mean=(0.2860,),
    std=(0.3530,),
    files=tuple(f"FashionMNIST/raw/{name}" for name in ARCHIVES),
    read=read,
    archives=published_files(),
    fetch=fetch,
    # IDX files of images: a header of four 32-bit numbers, then pixels.
    plain_files=(
        ("FashionMNIST/raw/train-images-idx3-ubyte", 16),
        ("FashionMNIST/raw/t10k-images-idx3-ubyte", 16),
    ),
)
