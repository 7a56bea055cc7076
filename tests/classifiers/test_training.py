"""The training loop of classifiers, and the checkpoints it leaves."""

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import ROOT
from trustmia.classifiers import TrainConfig
from trustmia.classifiers import recipe as recipes
from trustmia.classifiers.architectures.salem_cnn import SalemCNN
from trustmia.classifiers.inference import Inputs, as_inputs
from trustmia.classifiers.memory import keep_freed_memory
from trustmia.classifiers.recipe import Recipe, TrainingData
from trustmia.classifiers.training import EpochResult, Labelled, train_classifier
from trustmia.errors import UserError
from trustmia.images.base import Dataset, Images
from trustmia.params import load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.stages import train_judge
from trustmia.stages._classifier_recipe import classifier_recipe

CPU = torch.device("cpu")
TOY = Dataset("toy", tuple("0123456789"), 1, 28, (0.5,), (0.25,))
CONFIG = TrainConfig(
    epochs=2, batch_size=16, lr=0.001, weight_decay=0.0, label_smoothing=0.0, precision="fp32"
)
Weights = dict[str, torch.Tensor]
EXPERIMENT = load_params(ROOT / "params.yaml")


def toy(rows: int, seed: int) -> Labelled[Inputs]:
    labels = np.arange(rows) % 3
    noise = np.random.default_rng(seed).normal(size=(rows, 1, 8, 8))
    pixels = (32 * (noise + labels[:, None, None, None]) + 96).clip(0, 255).astype(np.uint8)
    inputs = as_inputs(pixels, *(np.asarray([v], np.float32) for v in (1 / 32, -3)))
    return Labelled(inputs, torch.from_numpy(labels))


def trained(
    config: TrainConfig = CONFIG,
    seed: int = 1,
    on_epoch: Callable[[EpochResult], None] = lambda epoch: None,
) -> Weights:
    model = train_classifier(
        lambda: SalemCNN(1, 8, 3), toy(40, 0), toy(20, 1), config, seed, CPU, on_epoch
    )
    assert not model.training
    return model.state_dict()


def same(first: Weights, second: Weights) -> bool:
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_training_is_bitwise_the_same_for_the_same_seed_alone() -> None:
    first = trained()
    assert same(first, trained())
    assert not same(first, trained(seed=2))


def test_training_does_not_depend_on_what_was_drawn_before() -> None:
    first = trained()
    torch.rand(17)
    assert same(first, trained())


@pytest.mark.parametrize(
    "change", [{"weight_decay": 0.1}, {"label_smoothing": 0.2}, {"lr": 0.002}, {"batch_size": 8}]
)
def test_hyperparameter_changes_the_weights(change: dict[str, Any]) -> None:
    assert not same(trained(), trained(CONFIG.model_copy(update=change)))


def test_training_learns_and_reports_every_epoch() -> None:
    results: list[EpochResult] = []
    trained(CONFIG.model_copy(update={"epochs": 8}), on_epoch=results.append)
    assert [result.epoch for result in results] == list(range(1, 9))
    assert results[-1].train_loss < results[0].train_loss / 2
    assert results[-1].train_accuracy > 0.8
    assert results[-1].test_accuracy is not None and results[-1].test_accuracy > 0.8


def test_training_stops_at_a_loss_that_is_not_finite() -> None:
    with pytest.raises(FloatingPointError, match="loss is not finite in epoch 1"):
        trained(CONFIG.model_copy(update={"lr": 1e38}))


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (
            classifier_recipe(EXPERIMENT.train.model_copy(update={"lr": 1e38}), 0, scratch=True),
            r"in epoch 1 with train\.lr=1e\+38; choose a smaller train\.lr$",
        ),
        (
            train_judge.recipe_of(EXPERIMENT),
            r"in epoch 1 of the judge of the fakes; set judge\.precision=fp32, or "
            r"judge\.epochs=0 for no judge$",
        ),
    ],
)
def test_loss_that_is_not_finite_is_told_with_the_parameter_to_change(
    recipe: Recipe, told: str
) -> None:
    rng = np.random.default_rng(0)
    images = Images(
        rng.integers(256, size=(40, 1, 28, 28), dtype=np.uint8), rng.integers(10, size=40)
    )
    diverging = replace(
        recipe, config=recipe.config.model_copy(update={"lr": 1e38, "batch_size": 8})
    )
    with pytest.raises(UserError, match=told):
        recipes.train(TOY, TrainingData(images, images), diverging, CPU, lambda epoch: None)


def test_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        checkpoints.save(tmp_path / name, Checkpoint(trained(), {}))
    one, two = (checkpoints.paths(tmp_path / name)[0].read_bytes() for name in ("one", "two"))
    assert one == two


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
