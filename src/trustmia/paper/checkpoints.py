"""The paper's published checkpoints as this project's, with model cards.

Whether a pretrained classifier fits is decided by the SHA-256 of its training images. The
authors' checkpoints come without it; theirs are known by the published split that drew them.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors.torch import save as serialized
from torch import Tensor

from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inputs import build
from trustmia.datasets import DATASETS
from trustmia.errors import UserError
from trustmia.images.base import Dataset
from trustmia.paper.configurations import MODELS
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Card, Checkpoint

# The paper's names of architectures, and its `{arch}_{dataset}` of each of our models.
PAPER_NAMES = {
    "resnet18_cifar10": "cifar10_resnet18",
    "efficient_net_cifar10": "cifar10_efficientnet_b0",
    "salem_cnn_relu_cifar10": "cifar10_salem_cnn",
    "resnet50_stanford_dogs": "stanford_dogs_resnet50",
}
DEFENCES = {"LS": "train.label_smoothing", "L2": "train.weight_decay"}
NAME = re.compile(
    rf"(?P<model>{'|'.join(PAPER_NAMES)})_((?P<defence>LS|L2)_(?P<strength>[0-9.]+)_)?"
    r"(?P<role>target|shadow)\.pt"
)
MOST_FAULTS = 5


@dataclass(frozen=True)
class Published:
    """What a file name of the published archive says.

    Attributes:
        name: Name of the pair, e.g. `resnet18_cifar10_L2_0.0003`.
        role: `target` or `shadow`.
        params: `train.*` parameters of the training, by their full keys.
        split: The training images, in the terms of `checkpoints.differences`.
        dataset: What the model classifies.
    """

    name: str
    role: str
    params: dict[str, Any]
    split: Card
    dataset: Dataset


def parse_name(filename: str) -> Published:
    """Read a file name such as `resnet18_cifar10_LS_0.0083_shadow.pt`.

    Raises:
        UserError: It is no such name.
    """
    match = NAME.fullmatch(filename)
    if match is None:
        raise UserError(
            f"{filename}: not a name of the published checkpoints; allowed: "
            f"{{{','.join(PAPER_NAMES)}}}_[LS_…_|L2_…_]{{target,shadow}}.pt"
        )
    model = PAPER_NAMES[match["model"]]
    values = MODELS[model].values
    params = {key: value for key, value in values.items() if key.startswith("train.")}
    if match["defence"]:
        params[DEFENCES[match["defence"]]] = float(match["strength"])
    split = {
        "dataset": values["dataset.name"],
        "method": "published",
        "seed": values["seed"],
        "train_size": values["split.train_size"],
    }
    return Published(
        name=filename.removesuffix(f"_{match['role']}.pt"),
        role=match["role"],
        params=params,
        split=split,
        dataset=DATASETS[values["dataset.name"]].dataset(values["dataset.size"]),
    )


def faults(model: Classifier, state: dict[str, Tensor]) -> list[str]:
    """Say which tensors are missing, unexpected or wrongly shaped, one phrase each."""
    own = model.state_dict()
    phrases = [f"missing {name}" for name in own if name not in state]
    phrases += [f"unexpected {name}" for name in state if name not in own]
    phrases += [
        f"{name} is {list(state[name].shape)}, not {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    return phrases


def import_checkpoints(archive: Path, folder: Path) -> list[Path]:
    """Write every checkpoint of the published ZIP as safetensors with a card.

    The folder is `models/classifiers`; a pair goes into one of its name in it. Another pair of the
    same name is replaced.

    Returns:
        The weights' paths.

    Raises:
        UserError: The archive or a checkpoint is not readable, has an unknown name, or
            does not fit its architecture; nothing was written.
    """
    imported: dict[Path, Checkpoint] = {}
    problems = []
    for name, content in _published_files(archive):
        published = parse_name(name)
        state = checkpoints.read_state_dict(io.BytesIO(content), f"{archive}: {name}")
        # Models trained on several GPUs carry the wrapper's name.
        state = {key.removeprefix("module."): t.contiguous() for key, t in state.items()}
        model = build(published.dataset, published.params["train.arch"])
        phrases = faults(model, state)
        if phrases:
            rest = len(phrases) - MOST_FAULTS
            more = f" and {rest} more" if rest > 0 else ""
            problems.append(f"{name}: {', '.join(phrases[:MOST_FAULTS])}{more}")
        stem = folder / published.name / published.role
        digest = hashlib.sha256(serialized(state)).hexdigest()
        card = _card(published, archive.name, name) | {"sha256": digest}
        imported[stem] = Checkpoint(state, card)
    if problems:
        raise UserError(f"{archive}: {'; '.join(problems)}; nothing written")
    if not imported:
        raise UserError(f"{archive}: holds no checkpoints (.pt); nothing written")
    for stem, checkpoint in imported.items():
        checkpoints.save(stem, checkpoint)
    return [checkpoints.paths(stem)[0] for stem in imported]


def _published_files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield file name and content of every `.pt` in the archive, in whatever folder."""
    try:
        with zipfile.ZipFile(archive) as content:
            for info in content.infolist():
                name = PurePosixPath(info.filename).name
                if name.endswith(".pt") and not name.startswith("."):
                    yield name, content.read(info)
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{archive}: not a readable ZIP ({reason}); nothing written") from error


def _card(published: Published, archive: str, name: str) -> Card:
    return {
        "kind": "classifier",
        "arch": published.params["train.arch"],
        "params": published.params,
        "data": {
            "dataset": published.dataset.name,
            "images": published.split["train_size"],
            "sha256": None,
            "split": published.split,
        },
        "metrics": {},
        "history": [],
        "source": f"{name} of {archive}, published by the paper's authors",
        "versions": checkpoints.versions(),
    }
