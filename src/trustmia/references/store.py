"""The finished reference models as files."""

from pathlib import Path

import numpy as np

from trustmia import files
from trustmia.arrays import Bool, Int64

MEMBER = "member.npy"


def stem_of(folder: Path, number: int) -> Path:
    """Return where a model is kept, without the files' suffixes."""
    return folder / f"model_{number:04d}"


def write_member(folder: Path, member: Bool, images: Int64) -> None:
    """Write which model was trained on which image.

    Args:
        folder: Gets `member.npy` and `images.npy`.
        member: bool [M, N].
        images: int64 [N], rows of the data set.
    """
    np.save(folder / MEMBER, member)
    np.save(folder / "images.npy", images)


def read_member(folder: Path) -> Bool:
    """Return which model was trained on which image, bool [M, N].

    Raises:
        UserError: The file is missing or damaged.
    """
    with files.written_by("train_references", folder):
        member: Bool = np.load(folder / MEMBER, allow_pickle=False)
    return member
