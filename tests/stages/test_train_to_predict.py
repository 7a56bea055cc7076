"""From a data set to the scores of a model trained on it: augmentation and precision."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_data import CLASSES, prepare_tiny_data
from trustmia import paths
from trustmia.arrays import Float32
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.inference import predict as forward
from trustmia.errors import UserError
from trustmia.files import read_arrays
from trustmia.image_sets import HELD_OUT
from trustmia.images.prepared import read_prepared
from trustmia.params import load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Card
from trustmia.stages import calibrate, predict, train
from trustmia.stages._reference_models import require_same_precision

# The shadow is shown its own images alone, so that a chain needs nothing beside it.
ROLE = "shadow"


@dataclass(frozen=True)
class Chain:
    """What the stages left."""

    folder: Path

    @property
    def stem(self) -> Path:
        return self.folder / paths.CLASSIFIERS / ROLE / "model"

    @property
    def card(self) -> Card:
        return checkpoints.load_card(self.stem)

    @property
    def scores(self) -> dict[str, Any]:
        return read_arrays(self.folder / paths.SCORES / f"{ROLE}.npz")

    def bytes(self) -> list[bytes]:
        """Return the weights and the scores as they are on disk."""
        files = (self.stem.with_suffix(".safetensors"), paths.SCORES / f"{ROLE}.npz")
        return [(self.folder / file).read_bytes() for file in files]

    def held_out(self) -> Float32:
        """Return the logits of the held-out images as they were prepared, by the model alone."""
        prepared = read_prepared(self.folder / paths.DATASET)
        rows = read_arrays(self.folder / paths.SPLIT / f"{ROLE}.npz")["non_members"]
        model = classifiers.restore(prepared.dataset, checkpoints.load(self.stem))
        inputs = classifiers.prepare(prepared.dataset, prepared.images.take(rows))
        logits: Float32 = forward(model, inputs).logits.numpy()
        return logits


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Chain]:
    """Return what runs the stages with some parameters, each time in a folder of its own."""

    def run(**changes: object) -> Chain:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        keys = {f"train.{key}": value for key, value in changes.items()}
        prepare_tiny_data(folder, monkeypatch, keys)
        train.main(ROLE)
        calibrate.main(ROLE)
        predict.predict(load_params(), read_prepared(paths.DATASET), ROLE)
        return Chain(folder)

    return run


def test_training_images_alone_are_augmented_and_the_same_each_time(
    chain: Callable[..., Chain],
) -> None:
    plain, first, second = chain(), *(chain(augmentation="rotate_crop_flip") for _ in range(2))
    assert first.bytes() == second.bytes()
    assert first.bytes()[0] != plain.bytes()[0]
    assert first.card["params"]["train.augmentation"] == "rotate_crop_flip"
    assert (first.folder / paths.DATASET / "uncropped.npy").is_file()
    assert not (plain.folder / paths.DATASET / "uncropped.npy").exists()
    pixels = [(one.folder / paths.DATASET / "pixels.npy").read_bytes() for one in (first, plain)]
    assert pixels[0] == pixels[1]
    scores = first.scores
    rows = scores["set"] == HELD_OUT
    assert np.array_equal(scores["logits"][rows], first.held_out())
    accuracy = (scores["scores"][rows].argmax(1) == scores["labels"][rows]).mean()
    assert first.card["metrics"]["test"]["accuracy"] == pytest.approx(accuracy)


def test_precision_of_the_training_decides_about_weights_and_is_noted(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = {name: chain(precision=name) for name in ("fp32", "bf16")}
    for name, one in chains.items():
        assert one.card["params"]["train.precision"] == name
        assert one.card["metrics"]["train"]["loss"] < np.log(CLASSES) - 0.2
        # Whatever trained a model, it is asked in the precision of `predict`.
        rows = one.scores["set"] == HELD_OUT
        assert np.array_equal(one.scores["logits"][rows], one.held_out())
    fp32, bf16 = chains.values()
    assert fp32.bytes()[0] != bf16.bytes()[0]
    assert np.abs(fp32.scores["scores"] - bf16.scores["scores"]).max() < 0.05
    for native, same in ((False, fp32), (True, bf16)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda is_so=native: is_so)
        auto = chain(precision="auto")
        assert auto.bytes() == same.bytes()
        assert auto.card["params"]["train.precision"] == same.card["params"]["train.precision"]
    require_same_precision(bf16.stem, bf16.card, auto.card)
    with pytest.raises(UserError, match=r"trained in fp32, but the target in bf16; set train\.pre"):
        require_same_precision(fp32.stem, fp32.card, bf16.card)
