"""Weights that training starts from, such as those of an ImageNet classifier."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trustmia.errors import UserError


def read_initial_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict.

    Args:
        path: `.safetensors`, or what `torch.save` wrote, which is read without running
            code.

    Raises:
        UserError: The file is missing or holds no state dict.
    """
    if not path.is_file():
        raise UserError(
            f"params.yaml: train.initial_weights: {path} not found; run `trustmia fetch --all`, or "
            f"put the file into {path.parent}/"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise UserError(f"{path}: not readable as weights ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise UserError(f"{path}: holds no state dict (names and tensors)")
    return state
