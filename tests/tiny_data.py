"""A data set so small that stages take no time, and its first two stages."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import ROOT, set_params
from trustmia.datasets import DATASETS
from trustmia.datasets.base import DatasetSource, Part
from trustmia.images.base import Images
from trustmia.stages import calibrate, predict, prepare_dataset, split, train

COUNT, CLASSES = 40, 10
TINY = {
    "threads": 1,
    "dataset.size": 16,
    "split.pool_size": 6 * COUNT,
    "split.generator_holdout_size": COUNT,
    "split.train_size": COUNT,
    "split.validation_size": COUNT,
    "split.test_size": COUNT,
    "split.attack_members": COUNT,
    "split.attack_nonmembers": COUNT,
    "train.epochs": 3,
    "train.batch_size": 16,
}


def noise(data: Path, part: Part) -> Images:
    """Return grey images whose brightness tells their class."""
    labels = np.arange(8 * COUNT) % CLASSES
    drawn = np.random.default_rng(0).normal(size=(len(labels), 1, 24, 28))
    pixels = 25 * labels[:, None, None, None] + 8 * drawn + 15
    return Images(pixels.clip(0, 255).astype(np.uint8), labels)


def prepare_tiny_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    """Go to a folder and run there all stages before training, which is then on the CPU.

    Args:
        folder: Exists.
        monkeypatch: Brings back what was there before.
        changes: Parameters by their full keys.
    """
    source = DATASETS["fashion_mnist"]
    tiny = DatasetSource(
        source.name, source.title, source.classes, 1, (0.5,), (0.25,), (), noise, ()
    )
    monkeypatch.setattr(prepare_dataset, "DATASETS", {source.name: tiny})
    for module in (train, calibrate, predict):
        monkeypatch.setattr(module, "pick_device", lambda: torch.device("cpu"))
    shutil.copy(ROOT / "params.yaml", folder)
    set_params(folder, TINY | changes)
    monkeypatch.chdir(folder)
    prepare_dataset.main()
    split.main()
