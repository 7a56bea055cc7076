"""Reads data sets in torchvision's layout with torchvision's own classes.

CIFAR's batches are pickles; torchvision unpickles none before its MD5 is the published one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from trustmia.arrays import Int64, UInt8
from trustmia.datasets.base import Part
from trustmia.images.base import Images

# How torchvision's classes are asked for the training and the test images.
FLAGS = ({"train": True}, {"train": False})
NAMES = ({"split": "train"}, {"split": "test"})

Sums: TypeAlias = Mapping[str, str]  # file name → MD5
Arrays: TypeAlias = tuple[UInt8, Int64]  # pixels [N, C, H, W], labels [N]


def torchvision_class(name: str, **attributes: Any) -> Any:
    """Return a data set class of torchvision.

    Args:
        name: Its name in `torchvision.datasets`.
        attributes: Class attributes that are replaced, such as the MD5 sums of files,
            which torchvision checks before it reads (and, for CIFAR, unpickles) them.
    """
    # Seconds to import, which nothing but reading needs.
    from trustmia.torchvision_compat import declare_missing_operators

    declare_missing_operators()
    from torchvision import datasets

    return type(name, (getattr(datasets, name),), attributes)


def read_splits(
    kind: Any,
    data: Path,
    part: Part,
    splits: tuple[Mapping[str, Any], Mapping[str, Any]],
    arrays: Callable[[Any], Arrays],
) -> Images:
    """Read the training images of a data set and, for the part `all`, its test images after them.

    Args:
        kind: A data set class of torchvision.
        data: The data folder.
        part: `train` or `all`.
        splits: `FLAGS` or `NAMES`.
        arrays: Returns an opened split's uint8 pixels [N, C, H, W] and integer labels [N].
    """
    chosen = splits[:1] if part == "train" else splits
    opened = [arrays(kind(str(data), **split)) for split in chosen]
    pixels, labels = (np.concatenate(both) for both in zip(*opened, strict=True))
    return Images(np.ascontiguousarray(pixels), labels.astype(np.int64))


def read_cifar(name: str, data: Path, part: Part, sums: tuple[Sums, Sums, Sums]) -> Images:
    """Read CIFAR-10 or CIFAR-100.

    Args:
        name: Name of torchvision's class.
        data: The data folder.
        part: `train` or `all`.
        sums: MD5 sums of the files of training, of test, and of the class names.
    """
    train, test, meta = sums
    key = {"CIFAR10": "label_names", "CIFAR100": "fine_label_names"}[name]
    ((filename, md5),) = meta.items()
    cifar = torchvision_class(
        name,
        train_list=list(train.items()),
        test_list=list(test.items()),
        meta={"filename": filename, "key": key, "md5": md5},
    )

    def arrays(split: Any) -> Arrays:
        return split.data.transpose(0, 3, 1, 2), np.asarray(split.targets)

    return read_splits(cifar, data, part, FLAGS, arrays)
