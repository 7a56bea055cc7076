"""Reads data sets in torchvision's layout with torchvision's own classes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from trustmia.arrays import Int64, UInt8
from trustmia.errors import UserError
from trustmia.images.base import Images
from trustmia.torchvision_compat import declare_missing_operators

# What torchvision raises for files that are missing, cut off or not its format.
DAMAGED = (RuntimeError, OSError, ValueError, KeyError, TypeError, AssertionError, EOFError)
Sums: TypeAlias = Mapping[str, str]  # file name → MD5


def torchvision_class(name: str, **attributes: Any) -> Any:
    """Return a data set class of torchvision.

    Args:
        name: Its name in `torchvision.datasets`.
        attributes: Class attributes that are replaced, such as the MD5 sums of files,
            which torchvision checks before it reads (and, for CIFAR, unpickles) them.
    """
    declare_missing_operators()
    from torchvision import datasets

    return type(name, (getattr(datasets, name),), attributes)


def read_parts(complaint: UserError, parts: list[Callable[[], tuple[UInt8, Int64]]]) -> Images:
    """Read the parts of a data set, one after the other.

    Args:
        complaint: What to raise where a part is missing or damaged.
        parts: Each returns uint8 pixels [N, C, H, W] and integer labels [N].
    """
    try:
        read = [part() for part in parts]
    except DAMAGED as error:
        raise complaint from error
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
    return Images(np.ascontiguousarray(pixels), labels.astype(np.int64))


def read_cifar(
    name: str, data: Path, splits: list[bool], sums: tuple[Sums, Sums, Sums], complaint: UserError
) -> Images:
    """Read CIFAR-10 or CIFAR-100.

    Args:
        name: Name of torchvision's class.
        data: The data folder.
        splits: True for the training images, False for the test images, in this order.
        sums: MD5 sums of the files of training, of test, and of the class names.
        complaint: What to raise where a file is missing or damaged.
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

    def part(train: bool) -> tuple[UInt8, Int64]:
        content = cifar(str(data), train=train)
        return content.data.transpose(0, 3, 1, 2), np.asarray(content.targets)

    return read_parts(complaint, [lambda t=t: part(t) for t in splits])  # type: ignore[misc]
