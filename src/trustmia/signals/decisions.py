"""Which images the attacks with a learned decision call members."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trustmia import files
from trustmia.arrays import Bool
from trustmia.errors import UserError


def write_decisions(path: Path, called: Mapping[str, Bool], num_images: int) -> None:
    """Write an NPZ with arrays `attacks`, str [A], and `decisions`, bool [A, N].

    `called`, attack → bool [N], says which images are called members; it may be empty. N is
    `num_images`, the rows of the score file.
    """
    decisions = np.array(list(called.values()), dtype=np.bool_).reshape(-1, num_images)
    attacks = np.asarray(list(called), dtype=np.str_)
    files.write_arrays(path, {"attacks": attacks, "decisions": decisions})


def read_decisions(path: Path, num_images: int) -> Bool:
    """Read the decisions that `write_decisions` wrote, bool [A, N].

    Raises:
        UserError: The file is missing, damaged or belongs to other scores.
    """
    attacks, decisions = files.read_output(path, "attack", "attacks", "decisions").values()
    if decisions.shape != (len(attacks), num_images):
        raise UserError(
            f"{path}: decisions has shape {list(decisions.shape)}; allowed: "
            f"[{len(attacks)}, {num_images}]; run `dvc repro attack`"
        )
    return decisions


def unanimous(decisions: Bool) -> Bool:
    """Return which images all attacks call members, bool [A, N] to [N]; none without attacks."""
    result: Bool = np.logical_and.reduce(decisions, axis=0) & (len(decisions) > 0)
    return result
