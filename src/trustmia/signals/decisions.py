"""Which images the attacks with a learned threshold call members."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trustmia import files
from trustmia.arrays import Bool
from trustmia.errors import UserError


@dataclass(frozen=True)
class Decisions:
    """What attacks say of the images of a score file.

    Attributes:
        attacks: Names of the attacks.
        decisions: bool [A, N], true: called a member; rows of the score file are columns.
    """

    attacks: tuple[str, ...]
    decisions: Bool

    def unanimous(self) -> Bool:
        """Return which images all attacks call members, bool [N]; none without attacks."""
        if not self.attacks:
            return np.zeros(self.decisions.shape[1], dtype=np.bool_)
        return np.logical_and.reduce(self.decisions, axis=0)


def write_decisions(path: Path, decisions: Decisions) -> None:
    """Write an NPZ with arrays `attacks` and `decisions`."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "attacks": np.asarray(decisions.attacks, dtype=np.str_),
        "decisions": decisions.decisions,
    }
    files.write_arrays(path, arrays)


def read_decisions(path: Path, num_images: int) -> Decisions:
    """Read what `write_decisions` wrote.

    Args:
        path: The file.
        num_images: Rows of the score file that it belongs to.

    Raises:
        UserError: The file is missing, damaged or belongs to other scores.
    """
    with files.written_by("attack", path):
        arrays = files.read_arrays(path)
        attacks, decisions = arrays["attacks"].tolist(), arrays["decisions"]
    if decisions.shape != (len(attacks), num_images):
        raise UserError(
            f"{path}: decisions has shape {list(decisions.shape)}; allowed: "
            f"[{len(attacks)}, {num_images}]; run `dvc repro attack`"
        )
    return Decisions(tuple(attacks), decisions)
