"""Trained weights as safetensors, each with a JSON model card beside it."""

import hashlib
import importlib.metadata
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from trustmia import __version__, files
from trustmia.errors import UserError
from trustmia.images.base import Images

if TYPE_CHECKING:
    from torch import Tensor

Card = dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """Weights and where they come from.

    Attributes:
        tensors: State dict.
        card: `kind`, `params` (what trained it, the precision as it ran), `data` (name and
            digest of the training images), `metrics`, `history` (one entry per epoch),
            `threads` of the training, `versions`; in `models/` also `date` and `sha256` of
            the weights.
    """

    tensors: "dict[str, Tensor]"
    card: Card


def paths(stem: Path) -> tuple[Path, Path]:
    """Return the weights' and the card's path, e.g. of `outputs/classifiers/target/model`."""
    return stem.with_suffix(".safetensors"), stem.with_suffix(".json")


def save(stem: Path, checkpoint: Checkpoint) -> None:
    """Write weights and card; the same checkpoint gives the same bytes."""
    from safetensors.torch import save_file

    weights, card = paths(stem)
    with files.atomic_file(weights) as temporary:
        save_file({k: t.contiguous() for k, t in checkpoint.tensors.items()}, temporary)
    files.write_json(card, checkpoint.card)


def load_card(stem: Path) -> Card:
    """Read a card.

    Raises:
        UserError: It is missing or unreadable.
    """
    path = paths(stem)[1]
    _require(path)
    try:
        return files.read_json(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable ({error}); run `dvc checkout`") from error


def load(stem: Path) -> Checkpoint:
    """Read weights and card.

    Raises:
        UserError: One of the two is missing or unreadable, or the weights do not have
            the SHA-256 that the card gives.
    """
    from safetensors.torch import load_file

    card = _checked_card(stem)
    return Checkpoint(load_file(paths(stem)[0]), card)


def copy(source: Path, stem: Path) -> None:
    """Copy a checkpoint without loading its weights.

    Raises:
        UserError: As `load`.
    """
    card = _checked_card(source)
    weights, card_path = paths(stem)
    files.copy_file(paths(source)[0], weights)
    files.write_json(card_path, card)


def _checked_card(stem: Path) -> Card:
    """Return the card of a checkpoint whose weights are there, readable, and the card's."""
    weights, card_path = paths(stem)
    card = load_card(stem)
    _require(weights)
    try:
        with safe_open(weights, "numpy"):
            digest = files.sha256(weights)
    except (SafetensorError, ValueError, OSError) as error:
        raise UserError(f"{weights}: not readable ({error}); run `dvc checkout`") from error
    if card.get("sha256") not in (None, digest):
        raise UserError(f"{weights}: is not what {card_path.name} describes; run `dvc checkout`")
    return card


def _require(path: Path) -> None:
    if not path.is_file():
        raise UserError(
            f"{path}: not found; run `dvc pull` for models/, or `dvc repro` for outputs/"
        )


def read_state_dict(stream: IO[bytes], name: str) -> "dict[str, Tensor]":
    """Read a state dict that `torch.save` wrote, without running code.

    Args:
        stream: The file.
        name: What to call it in messages.

    Raises:
        UserError: It is no state dict, or would need code to be read.
    """
    import torch

    try:
        state = torch.load(stream, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise UserError(f"{name}: not readable as weights ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise UserError(f"{name}: holds no state dict (names and tensors)")
    return state


def data_card(name: str, images: Images) -> Card:
    """Describe training images: data set, number, SHA-256 of pixels and labels."""
    digest = hashlib.sha256(np.ascontiguousarray(images.pixels).data)
    digest.update(np.ascontiguousarray(images.labels).data)
    return {"dataset": name, "images": len(images), "sha256": digest.hexdigest()}


def versions() -> dict[str, str]:
    """Return the versions of what computes weights."""
    libraries = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return libraries | {"trustmia": __version__}


def differences(card: Card, params: Mapping[str, Any], data: Card) -> list[str]:
    """Say why a checkpoint is not what these parameters and images would train.

    Returns:
        One phrase per difference, empty where there is none.
    """
    trained = card["params"]
    phrases = [
        f"{key} {trained.get(key)!r} rather than {value!r}"
        for key, value in params.items()
        if trained.get(key) != value
    ]
    if card["data"]["sha256"] is None:
        # Imported: the training images are known by the split that they come from.
        phrases += [
            f"split with {key} {value!r} rather than {data['split'].get(key)!r}"
            for key, value in card["data"]["split"].items()
            if data["split"].get(key) != value
        ]
    elif card["data"]["sha256"] != data["sha256"]:
        phrases.append("other training images")
    return phrases


def fitting(
    stems: list[Path], what: str, params: Mapping[str, Any], data: Card, source_key: str
) -> Path:
    """Return where the first pretrained checkpoint is that these parameters would train.

    A checkpoint trained on other images would make the truth about membership wrong, so
    none is used that does not fit.

    Args:
        stems: Where to look, in this order.
        what: What is looked for, for people.
        params: The parameters that decide about the weights, by their full keys.
        data: `data_card` of the training images.
        source_key: Key of the parameter that asks for training from scratch.

    Raises:
        UserError: None fits; the message says in what the nearest one differs.
    """
    candidates = []
    for stem in stems:
        phrases = differences(load_card(stem), params, data)
        if not phrases:
            return stem
        candidates.append((len(phrases), str(stem.parent), phrases))
    if not candidates:
        raise UserError(
            f"no pretrained {what} in models/: run `dvc pull models.dvc`, or set "
            f"{source_key}=scratch"
        )
    _, place, phrases = min(candidates)
    raise UserError(
        f"params.yaml: {source_key}: no pretrained {what} fits; the nearest, {place}, was trained "
        f"with {', '.join(phrases)}. Restore these or set {source_key}=scratch"
    )
