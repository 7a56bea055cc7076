"""The finished reference models as files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trustmia.arrays import Bool, Int64
from trustmia.errors import UserError

MEMBER, IMAGES = "member.npy", "images.npy"


@dataclass(frozen=True)
class Assignment:
    """Which model was trained on which image.

    Attributes:
        member: bool [M, N].
        images: int64 [N], rows of the data set.
    """

    member: Bool
    images: Int64


def stem_of(folder: Path, number: int) -> Path:
    """Return where a model is kept, without the files' suffixes."""
    return folder / f"model_{number:04d}"


def write_assignment(folder: Path, assignment: Assignment) -> None:
    """Write `member.npy` and `images.npy` into a folder."""
    np.save(folder / MEMBER, assignment.member)
    np.save(folder / IMAGES, assignment.images)


def read_assignment(folder: Path) -> Assignment:
    """Read what `write_assignment` wrote.

    Raises:
        UserError: A file is missing or damaged.
    """
    try:
        member, images = (np.load(folder / name, allow_pickle=False) for name in (MEMBER, IMAGES))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: not found; run `dvc repro train_references`") from error
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{folder}: not readable ({error}); run `dvc checkout {folder}`") from error
    return Assignment(member, images)
