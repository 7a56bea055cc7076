"""The GAN's networks, its training, its images and how they are judged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trustmia.errors import UserError
from trustmia.generators import GanConfig, training
from trustmia.generators.gan import Discriminator, Generator
from trustmia.generators.quality import Seen, frechet_distance, quality
from trustmia.generators.sampling import SampleConfig, draw_latents, preview, sample, to_uint8
from trustmia.generators.training import GanEpoch, train_gan
from trustmia.images.base import Images
from trustmia.images.fakes import load_fakes, save_fakes

Features = npt.NDArray[np.float64]
CPU = torch.device("cpu")
TINY = GanConfig(
    epochs=2,
    batch_size=64,
    lr=0.001,
    latent_dim=4,
    width=2,
    discriminator_width=2,
    ema_decay=0.9,
    precision="fp32",
)
DRAWN = SampleConfig(
    num_images=20, num_classes=3, latent_dim=4, truncation=2.0, size=28, batch_size=20, seed=0
)


def small_generator() -> Generator:
    torch.manual_seed(0)
    return Generator(num_classes=3, image_channels=1, image_size=28, latent_dim=4, width=4).eval()


def draw(on_batch: Callable[[int], None] = lambda new: None, **changes: Any) -> Images:
    return sample(small_generator(), replace(DRAWN, **changes), CPU, on_batch)


def trained(seed: int, **changes: Any) -> tuple[Generator, list[GanEpoch]]:
    """Train with random images of three classes; return the generator and what was reported."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(256, 1, 28, 28), dtype=np.uint8)
    epochs: list[GanEpoch] = []
    config = TINY.model_copy(update=changes)
    data = Images(images, rng.integers(3, size=256))
    return train_gan(data, 3, config, seed, CPU, epochs.append), epochs


def features(seed: int, rows: int, columns: int, scale: float) -> Features:
    rng = np.random.default_rng(seed)
    spread = scale * rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))
    return spread + rng.normal()


@pytest.mark.parametrize("size", [28, 32, 40])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_fit_every_image_shape(channels: int, size: int) -> None:
    labels = torch.arange(4) % 3
    images = Generator(3, channels, size, latent_dim=4, width=2)(torch.randn(4, 4), labels)
    assert images.shape == (4, channels, size, size)
    assert float(images.detach().abs().max()) <= 1
    assert Discriminator(3, channels, width=2)(images, labels).shape == (4,)


@pytest.mark.parametrize("size", [28, 32, 64])
def test_features_are_as_large_at_every_image_size(size: int) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(3, 1, width=4).eval()
    seen: list[torch.Tensor] = []
    discriminator.realness.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    h = noise = torch.randn(2, 1, size, size)
    discriminator(noise, torch.zeros(2, dtype=torch.int64))
    for layer in discriminator.layers:
        h = nn.functional.leaky_relu(layer(h), 0.1)
    assert torch.equal(seen[0], h.sum(dim=(2, 3)) / {28: 7.0, 32: 8.0, 64: 16.0}[size])


def test_class_changes_image_and_realness() -> None:
    generator, discriminator = small_generator(), Discriminator(3, 1, width=4).eval()
    nn.init.normal_(generator.norm.bias.weight)
    zeros, ones = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    latents = torch.randn(2, 4)
    images = generator(latents, zeros)
    assert not torch.equal(images, generator(latents, ones))
    assert not torch.equal(discriminator(images, zeros), discriminator(images, ones))


def test_classes_come_in_turn_and_every_batch_is_announced() -> None:
    announced: list[int] = []
    fakes = draw(num_images=8, batch_size=3, on_batch=announced.append)
    assert announced == [3, 3, 2]
    assert fakes.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert fakes.labels.dtype == np.int64
    assert fakes.pixels.shape == (8, 1, 28, 28)
    assert fakes.pixels.dtype == np.uint8


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batch_size_does_not_change_the_images(batch_size: int) -> None:
    usual, other = draw(), draw(batch_size=batch_size)
    assert np.abs(usual.pixels.astype(int) - other.pixels).max() <= 1
    assert usual.pixels.std() > 0


def test_seed_decides_about_the_images() -> None:
    first, again, other = (draw(seed=seed).pixels for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_latents_are_normal_up_to_where_they_are_cut_off() -> None:
    configs = (replace(DRAWN, num_images=5000, truncation=bound) for bound in (0.5, 10.0))
    cut_off, usual = (draw_latents(config) for config in configs)
    assert 0.49 < float(cut_off.abs().max()) <= 0.5
    assert float(usual.std()) == pytest.approx(1, abs=0.02)
    assert float(usual.mean()) == pytest.approx(0, abs=0.02)


def test_range_of_the_generator_becomes_all_grey_levels() -> None:
    assert to_uint8(torch.tensor([-1.0, 0.0, 1.0, -2.0, 2.0])).tolist() == [0, 128, 255, 0, 255]


@pytest.mark.parametrize(("channels", "shape"), [(1, (6, 24)), (3, (6, 24, 3))])
def test_preview_has_a_row_for_each_class(channels: int, shape: tuple[int, ...]) -> None:
    grey = np.arange(10, 40, 10, dtype=np.uint8).reshape(3, 1, 1, 1)
    pixels = np.tile(grey, (1, channels, 2, 2))
    sheet = preview(Images(pixels, np.asarray([0, 1, 2])), num_rows=3, max_side=2)
    assert sheet.shape == shape
    assert sheet.reshape(6, 24, -1)[::2, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "manifest.json"])
def test_saved_fakes_come_back_whole_or_what_to_run_is_told(name: str, tmp_path: Path) -> None:
    fakes, folder = draw(), tmp_path / "fakes"
    save_fakes(folder, fakes, {"seed": 0})
    loaded = load_fakes(folder)
    assert np.array_equal(loaded.pixels, fakes.pixels)
    assert np.array_equal(loaded.labels, fakes.labels)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-3] + b"\x77")
    with pytest.raises(UserError, match=rf"fakes/{name}: .*`dvc checkout "):
        load_fakes(folder)
    path.unlink()
    with pytest.raises(UserError, match=rf"fakes/{name}: not found; run `dvc repro generate`"):
        load_fakes(folder)


@pytest.mark.filterwarnings("ignore:Matrix is singular")
@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(0, 99), st.integers(2, 30), st.floats(0.1, 10)),
    st.tuples(st.integers(100, 199), st.integers(2, 30), st.floats(0.1, 10)),
    st.integers(1, 5),
)
def test_frechet_distance_is_that_of_the_formula(
    first: tuple[int, int, float], second: tuple[int, int, float], columns: int
) -> None:
    one, two = (features(seed, rows, columns, scale) for seed, rows, scale in (first, second))
    covariances = [np.atleast_2d(np.cov(part, rowvar=False)) for part in (one, two)]
    root = np.real(scipy.linalg.sqrtm(covariances[0] @ covariances[1]))
    difference = one.mean(axis=0) - two.mean(axis=0)
    expected = difference @ difference + np.trace(sum(covariances) - 2 * root)
    scale = sum(np.trace(covariance) for covariance in covariances)
    assert frechet_distance(one, two) == pytest.approx(expected, abs=1e-5 * scale)
    own = 1e-5 * np.square(one).sum()
    assert frechet_distance(one, one) == pytest.approx(0, abs=own)
    assert frechet_distance(one, one + 3) == pytest.approx(9 * columns, abs=own)


def test_quality_counts_what_the_judge_recognises() -> None:
    seen = Seen(features(0, 4, 2, 1), np.asarray([0, 1, 2, 2]), np.asarray([0, 1, 2, 0]))
    expected = {"recognised": 0.75, "frechet_distance": 0}
    assert quality(seen, seen) == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def _few_standing_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "STANDING_BATCHES", 3)


@pytest.mark.usefixtures("_few_standing_batches")
def test_training_reports_every_epoch_and_is_bitwise_the_same_for_the_same_seed_alone() -> None:
    (generator, epochs), (again, _), (other, _) = (trained(seed) for seed in (1, 1, 2))
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert not generator.training
    first, same = generator.state_dict(), again.state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in first.items())
    assert not torch.equal(first["project.weight"], other.state_dict()["project.weight"])


@pytest.mark.usefixtures("_few_standing_batches")
def test_training_stops_at_a_loss_that_is_not_finite() -> None:
    with pytest.raises(FloatingPointError, match="the GAN's loss is not finite in epoch 1"):
        trained(0, lr=1e38)
