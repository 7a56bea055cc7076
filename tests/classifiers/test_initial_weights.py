"""Weights that training starts from, and training images that change each time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trustmia.classifiers import TrainConfig
from trustmia.classifiers import recipe as recipes
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.classifiers.augmented import AugmentedInputs
from trustmia.classifiers.inference import as_inputs
from trustmia.classifiers.initial_weights import read_initial_weights
from trustmia.classifiers.recipe import Recipe, TrainingData
from trustmia.errors import UserError
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import Uncropped, starts_of
from trustmia.images.resizing import uncropped_side
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint

CPU = torch.device("cpu")
TOY = Dataset("toy", ("cat", "dog", "bird"), 3, 16, (0.5,) * 3, (0.25,) * 3)
CONFIG = TrainConfig(
    epochs=1, batch_size=16, lr=1e-9, weight_decay=0.0, label_smoothing=0.0, precision="fp32"
)
LABELS = np.arange(30) % 3


def pixels(side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    noise = rng.integers(80, size=(30, 3, side, side))
    return (noise + 80 * LABELS[:, None, None, None]).astype(np.uint8)


def uncropped() -> Uncropped:
    side = uncropped_side(TOY.size)
    shapes = np.tile(np.asarray([3, side, side]), (30, 1))
    return Uncropped(pixels(side).reshape(-1), shapes, starts_of(shapes))


DATA = TrainingData(Images(pixels(16), LABELS), Images(pixels(16), LABELS))


def trained(data: TrainingData, initial: dict[str, torch.Tensor] | None = None) -> Checkpoint:
    recipe = Recipe("salem_cnn", CONFIG, 1, {"train.epochs": 1}, "train.lr", initial)
    return recipes.train(TOY, data, recipe, CPU, lambda epoch: None)


def test_training_starts_from_weights_that_fit_and_draws_the_rest() -> None:
    torch.manual_seed(9)
    initial = ARCHITECTURES["salem_cnn"](3, 16, 1000).state_dict()
    found = trained(DATA, initial).tensors
    fresh = trained(DATA).tensors
    for name, tensor in found.items():
        start = fresh[name] if name.startswith("out.") else initial[name]
        torch.testing.assert_close(tensor, start, rtol=0, atol=1e-6)


def test_imagenet_weights_fit_all_of_resnet50_but_its_head() -> None:
    from trustmia.torchvision_compat import declare_missing_operators

    declare_missing_operators()
    from torchvision.models import resnet50

    published = resnet50().state_dict()
    model = recipes.start(ARCHITECTURES["resnet50"](3, 32, 120), published)
    different = [n for n, t in model.state_dict().items() if not torch.equal(t, published[n])]
    assert different == ["fc.weight", "fc.bias"]
    with torch.no_grad():
        official = resnet50().eval()
        official.fc = torch.nn.Linear(2048, 120)
        official.load_state_dict(model.state_dict())
        images = torch.randn(2, 3, 64, 64).double()
        torch.testing.assert_close(model.eval().double()(images), official.double()(images))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_from_both_formats(suffix: str, tmp_path: Path) -> None:
    state = {"w": torch.arange(3.0)}
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    assert torch.equal(read_initial_weights(path)["w"], state["w"])


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil"),))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_file_without_weights_is_told_and_runs_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"{name} not found; run `trustmia fetch --all`"):
        read_initial_weights(tmp_path / name)
    torch.save({"w": Evil()}, tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}: not readable as weights"):
        read_initial_weights(tmp_path / name)
    assert not Path("evil").exists()
    torch.save([1, 2], tmp_path / "weights.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        read_initial_weights(tmp_path / "weights.pth")


def test_augmented_images_are_others_each_time_and_follow_the_seed() -> None:
    as_they_are = as_inputs(pixels(16), np.ones(3, np.float32), np.zeros(3, np.float32))
    shown = AugmentedInputs(uncropped(), 16, as_they_are.normalize)
    index = torch.arange(4)
    torch.manual_seed(0)
    first, second = shown.batch(index), shown.batch(index)
    torch.manual_seed(0)
    again = shown.batch(index)
    assert first.shape == (4, 3, 16, 16)
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_augmented_training_is_the_same_for_the_same_seed_and_learns_from_crops() -> None:
    data = TrainingData(DATA.train, DATA.test, uncropped())
    first, again, plain = trained(data), trained(data), trained(DATA)
    assert all(torch.equal(t, again.tensors[n]) for n, t in first.tensors.items())
    losses = [c.card["history"][0]["train_loss"] for c in (first, plain)]
    assert losses[0] != losses[1]


def test_imported_checkpoint_is_measured_before_it_is_used() -> None:
    known = trained(DATA)
    card = known.card | {"metrics": {}, "history": []}
    measured = recipes.measured(TOY, DATA, Checkpoint(known.tensors, card), CPU)
    assert measured.card["metrics"] == known.card["metrics"]
    (epoch,) = measured.card["history"]
    assert epoch["test_accuracy"] == known.card["metrics"]["test"]["accuracy"]
    assert checkpoints.differences(measured.card, {"train.epochs": 1}, known.card["data"]) == []
