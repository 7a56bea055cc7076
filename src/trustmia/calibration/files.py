"""A fitted calibration as files."""

from pathlib import Path

import torch

from trustmia.calibration import METHODS
from trustmia.calibration.base import Calibration
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint


def save(folder: Path, method: str, calibration: Calibration) -> None:
    """Write `calibration.safetensors` and a card with the method's name."""
    card = {
        "kind": "calibration",
        "method": method,
        "threads": torch.get_num_threads(),
        "versions": checkpoints.versions(),
    }
    checkpoints.save(folder / "calibration", Checkpoint(calibration.tensors(), card))


def load(folder: Path) -> Calibration:
    """Read a calibration.

    Raises:
        UserError: A file is missing or unreadable.
    """
    checkpoint = checkpoints.load(folder / "calibration")
    return METHODS[checkpoint.card["method"]].load(checkpoint.tensors)


def fitted_values(calibration: Calibration) -> dict[str, float]:
    """Return the single numbers among what was fitted, e.g. the temperature."""
    tensors = calibration.tensors().items()
    return {name: float(tensor) for name, tensor in tensors if tensor.numel() == 1}
