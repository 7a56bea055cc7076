"""What several stages read alike."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trustmia import files, paths
from trustmia.arrays import Float32, Int64


def read_audited() -> Int64:
    """Return the audited images, int64 [N]: the attack set's members, then its non-members.

    Raises:
        UserError: As `read_split`.
    """
    index = read_split("target")
    return np.concatenate([index["members"], index["non_members"]])


def read_split(owner: str) -> dict[str, Int64]:
    """Return the index sets of `target`, `shadow` or `generator` (see `split_indices`).

    Raises:
        UserError: The stage `split` has not run, or its file is not readable.
    """
    return files.read_output(paths.SPLIT / f"{owner}.npz", "split")


@dataclass(frozen=True)
class TargetLogits:
    """What the stage `predict` wrote of the target.

    Attributes:
        logits: float32 [N, K], calibrated.
        labels: int64 [N]; -1 where the image has no label of the target's classes.
        sets: str [N], image sets.
    """

    logits: Float32
    labels: Int64
    sets: npt.NDArray[np.str_]


def read_target_logits() -> TargetLogits:
    """Return the target's calibrated logits of all images that it was shown.

    Raises:
        UserError: The stage `predict` has not run, or its file is not readable.
    """
    path = paths.SCORES / "target.npz"
    arrays = files.read_output(path, "predict", "logits", "labels", "set")
    return TargetLogits(*arrays.values())
