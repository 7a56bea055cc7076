"""Data sets: fetched, verified, read, corrupted."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trustmia.datasets import DATASETS, Dataset, Images, fashion_mnist, foreign
from trustmia.datasets.corruptions import normalization, permute_pixels
from trustmia.datasets.fashion_mnist import Archive, SourceUnavailable, md5
from trustmia.datasets.image_sets import IMAGE_SETS, ImageSetInputs
from trustmia.errors import UserError
from trustmia.prediction import normalize

UInt8 = npt.NDArray[np.uint8]
TIME = 1504176606
FASHION_MNIST = DATASETS["fashion_mnist"]
Source = Callable[[Path], Path]


def archive(name: str) -> bytes:
    """Return a gzip archive whose header has a name and a time, as `gzip FILE` writes it."""
    stripped = gzip.compress(f"content of {name}".encode(), mtime=0)
    header = b"\x1f\x8b\x08\x08" + struct.pack("<I", TIME) + stripped[8:10]
    return header + name.encode() + b"\0" + stripped[10:]


def strip(content: bytes, name: str) -> bytes:
    return content[:3] + b"\0" * 5 + content[8:10] + content[10 + len(name) + 1 :]


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of small archives that count as the published ones."""
    folder = tmp_path / "archives"
    folder.mkdir()
    published = {}
    for name in fashion_mnist.ARCHIVES:
        content = archive(name)
        (folder / f"{name}.gz").write_bytes(content)
        published[name] = Archive(md5(content), TIME)
    monkeypatch.setattr(fashion_mnist, "ARCHIVES", published)
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a data folder that already holds a user's files."""
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "mine").write_text("old")
    return tmp_path / "data"


def use_sources(monkeypatch: pytest.MonkeyPatch, **sources: Source) -> None:
    monkeypatch.setattr(fashion_mnist, "SOURCES", sources)


def unavailable(place: Path) -> Path:
    raise SourceUnavailable("no network")


def assert_untouched(data: Path) -> None:
    files = [path for path in data.parent.rglob("*") if path.is_file()]
    mine = data / "FashionMNIST" / "raw" / "mine"
    assert [path for path in files if path.suffix != ".gz"] == [mine]
    assert mine.read_text() == "old"
    assert {path.name for path in data.parent.iterdir()} <= {"data", "archives"}


def test_published_archives_are_unpacked(archives: Path, tmp_path: Path) -> None:
    fashion_mnist.unpack(archives, tmp_path / "raw")
    for path in (tmp_path / "raw").iterdir():
        assert path.read_text() == f"content of {path.name}"
    assert {path.name for path in (tmp_path / "raw").iterdir()} == set(fashion_mnist.ARCHIVES)


def test_archive_with_a_wrong_checksum_is_named_with_both_sums(
    archives: Path, tmp_path: Path
) -> None:
    name = "t10k-images-idx3-ubyte"
    wrong = gzip.compress(b"something else")
    (archives / f"{name}.gz").write_bytes(wrong)
    with pytest.raises(UserError) as caught:
        fashion_mnist.unpack(archives, tmp_path / "raw")
    said = str(caught.value)
    assert f"{name}.gz has MD5 {md5(wrong)}" in said
    assert f"published is {fashion_mnist.ARCHIVES[name].md5}" in said
    assert "trustmia fetch fashion_mnist" in said


def test_stripped_header_is_put_back_before_the_checksum(archives: Path, tmp_path: Path) -> None:
    for name in fashion_mnist.ARCHIVES:
        path = archives / f"{name}.gz"
        stripped = strip(path.read_bytes(), name)
        assert md5(stripped) != fashion_mnist.ARCHIVES[name].md5
        assert fashion_mnist.published_form(name, stripped) == path.read_bytes()
        path.write_bytes(stripped)
    fashion_mnist.unpack(archives, tmp_path / "raw")
    assert len(list((tmp_path / "raw").iterdir())) == len(fashion_mnist.ARCHIVES)


def test_content_that_is_no_stripped_gzip_stays_as_it_is(archives: Path) -> None:
    for content in (b"", b"no gzip", archive("t10k-labels-idx1-ubyte")):
        assert fashion_mnist.published_form("t10k-labels-idx1-ubyte", content) == content


def test_fetch_replaces_the_old_folder_by_the_first_source_that_answers(
    archives: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_sources(monkeypatch, deaf=unavailable, good=lambda place: archives, never=unavailable)
    assert fashion_mnist.fetch(old) == "good"
    raw = old / "FashionMNIST" / "raw"
    assert {path.name for path in raw.iterdir()} == set(fashion_mnist.ARCHIVES)
    assert "MIT License" in (old / "FashionMNIST" / "LICENSE").read_text()
    assert {path.name for path in old.parent.iterdir()} == {"data", "archives"}


def test_fetch_keeps_the_old_folder_when_every_source_fails(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_sources(monkeypatch, first=unavailable, second=unavailable)
    with pytest.raises(UserError, match=r"no source answered: first \(no network\); second"):
        fashion_mnist.fetch(old)
    assert_untouched(old)


def test_fetch_keeps_the_old_folder_when_a_checksum_is_wrong(
    archives: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archives / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"wrong"))
    use_sources(monkeypatch, bad=lambda place: archives)
    with pytest.raises(UserError, match=r"has MD5 .*, published is .*; nothing was changed"):
        fashion_mnist.fetch(old)
    assert_untouched(old)


def test_old_folder_comes_back_when_the_new_one_cannot_be_moved(old: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        fashion_mnist.replace_folder(tmp_path / "nowhere", old / "FashionMNIST", tmp_path / "aside")
    assert_untouched(old)


@pytest.mark.parametrize("content", [None, b"", b"\0\0\x08\x03 short"])
def test_load_without_data_tells_what_to_run(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        raw = tmp_path / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for name in fashion_mnist.ARCHIVES:
            (raw / name).write_bytes(content)
    with pytest.raises(UserError, match=r"`dvc pull data\.dvc` or `trustmia fetch fashion_mnist`"):
        FASHION_MNIST.load(tmp_path)


def pictures(count: int = 5, channels: int = 3, size: int = 6) -> UInt8:
    shape = count, channels, size, size
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 3), st.integers(2, 7))
def test_permuted_images_have_the_same_pixels_elsewhere(
    seed: int, channels: int, size: int
) -> None:
    before = pictures(4, channels, size)
    after = permute_pixels(before, np.random.default_rng(seed))
    assert (after.shape, after.dtype) == (before.shape, before.dtype)
    for one, other in zip(before, after):
        pixels, shuffled = (sorted(map(tuple, i.reshape(channels, -1).T)) for i in (one, other))
        assert pixels == shuffled


def test_every_image_has_a_permutation_of_its_own() -> None:
    same = np.repeat(pictures(1), 2, axis=0)
    first, second = permute_pixels(same, np.random.default_rng(0))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, same[0])


def inputs_of(image_set: str) -> torch.Tensor:
    mean, std = (0.3, 0.4, 0.5), (0.2, 0.3, 0.4)
    return normalize(pictures(), *normalization(mean, std, image_set))


def test_ordinary_images_are_normalised_by_channel() -> None:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.3, 0.4, 0.5], [0.2, 0.3, 0.4]))
    expected = (torch.from_numpy(pictures()).float() / 255 - mean) / std
    for name in ("members", "original", "permuted", "fake"):
        torch.testing.assert_close(inputs_of(name), expected, rtol=1e-4, atol=1e-5)


def test_scaled_images_are_255_times_the_normalised_ones() -> None:
    expected = 255 * inputs_of("original")
    torch.testing.assert_close(inputs_of("scaled"), expected, rtol=1e-4, atol=1e-4)


def test_images_without_normalisation_are_pixels_divided_by_255() -> None:
    expected = torch.from_numpy(pictures()).float() / 255
    torch.testing.assert_close(inputs_of("no_normalization"), expected)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_digits_fit_the_model_and_use_the_whole_range(channels: int, size: int) -> None:
    images = foreign.digits(channels, size)
    assert images.pixels.shape == (1797, channels, size, size)
    assert images.pixels.dtype == np.uint8
    assert (images.pixels.min(), images.pixels.max()) == (0, 255)
    assert set(images.labels.tolist()) == {-1}
    assert np.array_equal(images.pixels[:, 0], images.pixels[:, -1])


@pytest.mark.parametrize(("count", "channels", "size"), [(1, 1, 28), (7, 3, 32)])
def test_patches_fit_the_model_and_follow_their_generator(
    count: int, channels: int, size: int
) -> None:
    first, again, other = (
        foreign.patches(count, channels, size, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.pixels.shape == (count, channels, size, size)
    assert first.pixels.dtype == np.uint8
    assert first.pixels.std() > 0
    assert first.labels.tolist() == [-1] * count
    assert np.array_equal(first.pixels[:, 0], first.pixels[:, -1])
    assert np.array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


def image_set(name: str, dataset: Dataset = FASHION_MNIST, seed: int = 0) -> Images:
    held_out = Images(pictures(6, 1, 28), np.arange(6))
    fakes = Images(pictures(2, 1, 28), np.arange(2))
    return IMAGE_SETS[name](ImageSetInputs(dataset, held_out, lambda: fakes, 10, seed))


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_every_image_set_fits_the_model_and_is_the_same_twice(name: str) -> None:
    first, again = image_set(name), image_set(name)
    assert first.pixels.shape[1:] == (1, 28, 28)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.labels, again.labels)


@pytest.mark.parametrize("name", ["permuted", "patches"])
def test_random_image_sets_follow_the_seed(name: str) -> None:
    assert not np.array_equal(image_set(name, seed=1).pixels, image_set(name, seed=2).pixels)


def test_image_sets_follow_the_shape_of_the_data_set() -> None:
    large = replace(FASHION_MNIST, channels=3, size=32)
    for name in ("digits", "patches"):
        assert image_set(name, large).pixels.shape[1:] == (3, 32, 32)


def test_images_and_labels_have_to_be_as_many() -> None:
    with pytest.raises(ValueError, match="3 images but 2 labels"):
        Images(pictures(3), np.arange(2))
