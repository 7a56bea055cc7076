"""Weights that training starts from, such as those of an ImageNet classifier."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trustmia.errors import UserError
from trustmia.runtime.checkpoints import read_state_dict


def read_initial_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict of the form `.safetensors`, or what `torch.save` wrote.

    Raises:
        UserError: The file is missing or holds no state dict.
    """
    if not path.is_file():
        raise UserError(
            f"params.yaml: train.initial_weights: {path} not found; run `trustmia fetch --all`, or "
            f"put the file into {path.parent}/"
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, ValueError) as error:
            raise UserError(f"{path}: not readable as weights ({error})") from error
    with path.open("rb") as stream:
        return read_state_dict(stream, str(path))
