"""The training loop of classifiers, and the checkpoints it leaves."""

import functools
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
from trustmia.classifiers.recipe import Recipe, TrainingData
from trustmia.classifiers.training import EpochResult, Labelled, train_classifier
from trustmia.errors import UserError
from trustmia.files import sha256
from trustmia.images.base import Dataset, Images
from trustmia.params import load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import adam, reproducible
from trustmia.stages import train_judge
from trustmia.stages._classifier_recipe import classifier_recipe

CPU = torch.device("cpu")
TOY = Dataset("toy", tuple("0123456789"), 1, 28, (0.5,), (0.25,))
CONFIG = TrainConfig(
    epochs=2, batch_size=16, lr=0.001, weight_decay=0.0, label_smoothing=0.0, precision="fp32"
)
Weights = dict[str, torch.Tensor]
PARAMS = {"train.epochs": 2, "train.lr": 0.001}
EXPERIMENT = load_params(ROOT / "params.yaml")
DATA = {"dataset": "toy", "images": 3, "sha256": "abc"}


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


def checkpoint(**card: Any) -> Checkpoint:
    content = {"params": PARAMS, "data": DATA} | card
    return Checkpoint({"w": torch.arange(4.0), "b": torch.zeros(2, 3).t()}, content)


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
            r"in epoch 1 of the judge of the fakes; set generator\.precision=fp32, or "
            r"generator\.judge_epochs=0 for no judge$",
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


def test_saved_checkpoint_comes_back(tmp_path: Path) -> None:
    saved = checkpoint()
    checkpoints.save(tmp_path / "model", saved)
    loaded = checkpoints.load(tmp_path / "model")
    assert loaded.card == saved.card
    assert same(saved.tensors, loaded.tensors)


def test_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        checkpoints.save(tmp_path / name, Checkpoint(trained(), {}))
    one, two = (checkpoints.paths(tmp_path / name)[0].read_bytes() for name in ("one", "two"))
    assert one == two


def test_copied_checkpoint_has_the_same_bytes(tmp_path: Path) -> None:
    source, copied = tmp_path / "model", tmp_path / "folder" / "copied"
    checkpoints.save(source, checkpoint())
    checkpoints.save(source, checkpoint(sha256=sha256(checkpoints.paths(source)[0])))
    checkpoints.copy(source, copied)
    for old, new in zip(checkpoints.paths(source), checkpoints.paths(copied), strict=True):
        assert old.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"betas": (0.0, 0.9)}])
def test_adam_is_pytorchs(options: dict[str, Any]) -> None:
    weights = []
    for make in (adam, functools.partial(torch.optim.Adam, fused=True)):
        with reproducible(0):
            network, inputs = torch.nn.Linear(3, 2), torch.randn(8, 3)
        optimizer = make(network.parameters(), 0.1, **options)
        for _ in range(5):
            optimizer.zero_grad()
            network(inputs).square().mean().backward()
            optimizer.step()
        weights.append(dict(network.state_dict()))
    assert same(*weights)


def read_by_copying(stem: Path) -> None:
    checkpoints.copy(stem, stem.with_name("copied"))


READERS = pytest.mark.parametrize("read", [checkpoints.load, read_by_copying])


@READERS
@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_missing_file_of_a_checkpoint_is_named(
    suffix: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkpoints.save(tmp_path / "model", checkpoint())
    (tmp_path / f"model.{suffix}").unlink()
    with pytest.raises(UserError, match=rf"model\.{suffix}: not found; run `dvc pull`"):
        read(tmp_path / "model")


@READERS
@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_unreadable_file_of_a_checkpoint_is_named(
    suffix: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkpoints.save(tmp_path / "model", checkpoint())
    (tmp_path / f"model.{suffix}").write_bytes(b"\x07 not it")
    with pytest.raises(UserError, match=rf"model\.{suffix}: not readable .*`dvc checkout`"):
        read(tmp_path / "model")


@READERS
def test_weights_other_than_the_card_says_are_refused(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkpoints.save(tmp_path / "model", checkpoint(sha256="0" * 64))
    with pytest.raises(UserError, match=r"is not what model\.json describes; run `dvc checkout`"):
        read(tmp_path / "model")


def test_differences_are_told_in_words() -> None:
    card = checkpoint().card
    assert checkpoints.differences(card, PARAMS, DATA) == []
    wanted = {"train.epochs": 5, "train.arch": "salem_cnn", "train.lr": 0.001}
    assert checkpoints.differences(card, wanted, DATA | {"sha256": "def"}) == [
        "train.epochs 2 rather than 5",
        "train.arch None rather than 'salem_cnn'",
        "other training images",
    ]


def load_fitting(folder: Path, names: list[str], params: dict[str, Any]) -> Checkpoint:
    stems = [folder / name / "target" for name in names]
    stem = checkpoints.fitting(stems, "target classifier", params, DATA, "train.source")
    return checkpoints.load(stem)


def test_first_fitting_checkpoint_is_taken(tmp_path: Path) -> None:
    for name, epochs in (("far", 9), ("near", 2), ("later", 2)):
        params = PARAMS | {"train.epochs": epochs}
        checkpoints.save(tmp_path / name / "target", checkpoint(params=params, name=name))
    assert load_fitting(tmp_path, ["far", "near", "later"], PARAMS).card["name"] == "near"


def test_nearest_checkpoint_is_named_where_none_fits(tmp_path: Path) -> None:
    for name, lr in (("far", 0.1), ("near", 0.001)):
        card = {"params": {"train.epochs": 9, "train.lr": lr}}
        checkpoints.save(tmp_path / name / "target", checkpoint(**card))
    with pytest.raises(UserError) as caught:
        load_fitting(tmp_path, ["far", "near"], PARAMS)
    assert str(caught.value) == (
        "params.yaml: train.source: no pretrained target classifier fits; the nearest, "
        f"{tmp_path / 'near'}, was trained with train.epochs 9 rather than 2. Restore these or "
        "set train.source=scratch"
    )


def test_absence_of_checkpoints_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no pretrained target .*`dvc pull .*train.source=scratch"):
        load_fitting(tmp_path, [], PARAMS)
