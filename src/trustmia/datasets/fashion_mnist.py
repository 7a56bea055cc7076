"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 70,000 grey images of clothes, 28×28."""

import gzip
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trustmia.arrays import UInt8
from trustmia.datasets.base import DatasetSource, Part
from trustmia.datasets.fetching import Archive
from trustmia.images.base import Images

FOLDER = "FashionMNIST"
PUBLISHER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
# MD5 sums as published in the data set's README.
ARCHIVES = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
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


def load(data: Path, part: Part) -> Images:
    """Read the 60,000 training images and, for `all`, the 10,000 test images after them.

    Not by torchvision, whose import takes ten times as long as all else of `prepare_dataset`.
    """
    raw = data / FOLDER / "raw"
    names = ("train",) if part == "train" else ("train", "t10k")
    pixels, labels = (
        np.concatenate([read_idx(raw / f"{name}-{kind}-ubyte") for name in names])
        for kind in ("images-idx3", "labels-idx1")
    )
    return Images(pixels[:, None], labels.astype(np.int64))


def read_idx(path: Path) -> UInt8:
    """Read an IDX file of bytes: 0, 0, 8, the number of sides, the length of each, the values.

    Raises:
        ValueError: It is none.
    """
    content = path.read_bytes()
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not in IDX format")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def unpack(archives: Mapping[str, Path], folder: Path) -> None:
    """Decompress the four files, and add the licence, which has to come with them."""
    raw = folder / FOLDER / "raw"
    raw.mkdir(parents=True)
    for name, archive in archives.items():
        with gzip.open(archive) as content, (raw / name.removesuffix(".gz")).open("wb") as file:
            shutil.copyfileobj(content, file)
    (folder / FOLDER / "LICENSE").write_text(LICENCE, encoding="utf-8")


SOURCE = DatasetSource(
    name="fashion_mnist",
    title="Fashion-MNIST",
    classes=tuple(CLASSES.split(", ")),
    channels=1,
    mean=(0.2860,),
    std=(0.3530,),
    archives=tuple(Archive(name, f"{PUBLISHER}/{name}", md5) for name, md5 in ARCHIVES.items()),
    unpack=unpack,
    files=(FOLDER,),
    load=load,
    # IDX files of images: a header of four 32-bit numbers, then pixels.
    plain_files=(
        (f"{FOLDER}/raw/train-images-idx3-ubyte", 16),
        (f"{FOLDER}/raw/t10k-images-idx3-ubyte", 16),
    ),
)
