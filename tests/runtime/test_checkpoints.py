"""Checkpoints: kept, read, refused, and chosen among several."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trustmia.errors import UserError
from trustmia.files import sha256
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint

PARAMS = {"train.epochs": 2, "train.lr": 0.001}
DATA = {"dataset": "toy", "images": 3, "sha256": "abc"}


def checkpoint(**card: Any) -> Checkpoint:
    content = {"params": PARAMS, "data": DATA} | card
    return Checkpoint({"w": torch.arange(4.0), "b": torch.zeros(2, 3).t()}, content)


def test_saved_checkpoint_comes_back(tmp_path: Path) -> None:
    saved = checkpoint()
    checkpoints.save(tmp_path / "model", saved)
    loaded = checkpoints.load(tmp_path / "model")
    assert loaded.card == saved.card
    assert all(torch.equal(tensor, loaded.tensors[n]) for n, tensor in saved.tensors.items())


def test_copied_checkpoint_has_the_same_bytes(tmp_path: Path) -> None:
    source, copied = tmp_path / "model", tmp_path / "folder" / "copied"
    checkpoints.save(source, checkpoint())
    checkpoints.save(source, checkpoint(sha256=sha256(checkpoints.paths(source)[0])))
    checkpoints.copy(source, copied)
    for old, new in zip(checkpoints.paths(source), checkpoints.paths(copied), strict=True):
        assert old.read_bytes() == new.read_bytes()


@pytest.fixture(params=["load", "copy"])
def read(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    if request.param == "load":
        return checkpoints.load
    return lambda stem: checkpoints.copy(stem, stem.with_name("copied"))


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_missing_file_of_a_checkpoint_is_named(
    suffix: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkpoints.save(tmp_path / "model", checkpoint())
    (tmp_path / f"model.{suffix}").unlink()
    with pytest.raises(UserError, match=rf"model\.{suffix}: not found; run `dvc pull`"):
        read(tmp_path / "model")


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_unreadable_file_of_a_checkpoint_is_named(
    suffix: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkpoints.save(tmp_path / "model", checkpoint())
    (tmp_path / f"model.{suffix}").write_bytes(b"\x07 not it")
    with pytest.raises(UserError, match=rf"model\.{suffix}: not readable .*`dvc checkout`"):
        read(tmp_path / "model")


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
