"""Images: their corruptions, sizes, augmentation, and how they are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trustmia.arrays import UInt8
from trustmia.classifiers import augmentation
from trustmia.classifiers.inference import as_inputs
from trustmia.classifiers.inputs import normalization
from trustmia.datasets.base import DatasetSource, ImageFiles
from trustmia.datasets.preparing import Shape, require, write_dataset, write_images
from trustmia.errors import UserError
from trustmia.image_sets import IMAGE_SETS
from trustmia.image_sets.derived import ShownInputs, permute_pixels
from trustmia.image_sets.foreign import ForeignInputs
from trustmia.image_sets.sampling import draw_at_most
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import read_dataset, read_images, read_prepared
from trustmia.images.resizing import as_picture, as_pixels, fit_square, uncropped_side
from trustmia.registry import resolve
from trustmia.torchvision_compat import declare_missing_operators


def noise(*shape: int) -> UInt8:
    return np.random.default_rng(1).integers(256, size=shape, dtype=np.uint8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 3), st.integers(2, 7))
def test_permuted_images_have_the_same_pixels_elsewhere(
    seed: int, channels: int, size: int
) -> None:
    before = noise(4, channels, size, size)
    after = permute_pixels(before, np.random.default_rng(seed))
    assert (after.shape, after.dtype) == (before.shape, before.dtype)
    for one, other in zip(before, after):
        pixels, shuffled = (sorted(map(tuple, i.reshape(channels, -1).T)) for i in (one, other))
        assert pixels == shuffled


def test_every_image_has_a_permutation_of_its_own() -> None:
    same = np.repeat(noise(1, 3, 6, 6), 2, axis=0)
    first, second = permute_pixels(same, np.random.default_rng(0))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, same[0])


def test_images_are_normalised_as_their_set_asks() -> None:
    mean, std = (0.3, 0.4, 0.5), (0.2, 0.3, 0.4)
    pixels = torch.from_numpy(noise(5, 3, 6, 6)).float() / 255
    centred = pixels - torch.tensor(mean).view(3, 1, 1)
    normalised = centred / torch.tensor(std).view(3, 1, 1)
    expected = dict.fromkeys(("original", "permuted", "fake"), normalised)
    expected |= {"scaled": 255 * normalised, "no_normalization": pixels}
    for name, shown in expected.items():
        statistics = normalization(mean, std, IMAGE_SETS[name].normalised, IMAGE_SETS[name].scale)
        batch = as_inputs(noise(5, 3, 6, 6), *statistics).batch(torch.arange(5))
        torch.testing.assert_close(batch, shown, rtol=1e-4, atol=1e-4)


def image_set(name: str, seed: int, size: int, channels: int, patches: int) -> Images:
    known = IMAGE_SETS[name]
    held_out = Images(noise(6, channels, size, size), np.arange(6))
    fakes = Images(noise(5, channels, size, size), np.arange(5))
    inputs: ShownInputs | ForeignInputs = ShownInputs(held_out, lambda: fakes, 4, seed)
    if known.ahead:
        inputs = ForeignInputs(name, known, Path(), channels, size, None, patches, seed)
    images: Images = resolve(known.made_by)(inputs)
    return images


@pytest.mark.parametrize("name", [name for name, known in IMAGE_SETS.items() if not known.dataset])
@pytest.mark.parametrize(("channels", "size", "patches"), [(1, 28, 1), (3, 32, 7)])
def test_every_image_set_fits_the_model_and_follows_its_seed(
    name: str, channels: int, size: int, patches: int
) -> None:
    first, again, other = (image_set(name, seed, size, channels, patches) for seed in (1, 1, 2))
    assert first.pixels.shape[1:] == (channels, size, size) and first.pixels.dtype == np.uint8
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.pixels, other.pixels) == (name not in ("permuted", "patches"))
    assert len(first) == {"digits": 1797, "patches": patches, "fake": 4}.get(name, 6)
    if name in ("digits", "patches"):
        assert first.pixels.std() > 0
        assert set(first.labels.tolist()) == {-1}
        assert np.array_equal(first.pixels[:, 0], first.pixels[:, -1])
    if name == "digits":
        assert (first.pixels.min(), first.pixels.max()) == (0, 255)


@settings(deadline=None)
@given(st.integers(1, 50), st.one_of(st.none(), st.integers(1, 60)), st.integers(0, 9))
def test_drawn_images_are_distinct_and_at_most_as_many_as_allowed(
    count: int, limit: int | None, seed: int
) -> None:
    drawn = draw_at_most(count, limit, seed, "svhn")
    assert len(drawn) == min(count, limit or count)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert drawn[0] >= 0 and drawn[-1] < count
    assert np.array_equal(drawn, draw_at_most(count, limit, seed, "svhn"))


def test_images_and_labels_have_to_be_as_many() -> None:
    with pytest.raises(ValueError, match="3 images but 2 labels"):
        Images(noise(3, 3, 6, 6), np.arange(2))


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50), (33, 95)])
def test_pictures_are_cropped_and_stretched_as_torchvision_does(shape: tuple[int, int]) -> None:
    picture, functional = as_picture(noise(3, *shape)), torchvision_functional()
    cropped = functional.center_crop(functional.resize(picture, 28), [28, 28])
    stretched = functional.resize(picture, [28, 28])
    assert np.array_equal(as_pixels(fit_square(picture, 28, "crop")), as_pixels(cropped))
    assert np.array_equal(as_pixels(fit_square(picture, 28, "stretch")), as_pixels(stretched))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_become_a_picture_and_come_back(channels: int) -> None:
    pixels = noise(channels, 5, 7)
    assert np.array_equal(as_pixels(as_picture(pixels)), pixels)


@pytest.mark.parametrize("degrees", [-20.0, -3.5, 0.0, 11.0])
@pytest.mark.parametrize("flip", [False, True])
def test_augmented_batch_is_what_torchvision_does_to_each_image(degrees: float, flip: bool) -> None:
    images = [smooth(33, 50), smooth(48, 33), smooth(33, 33)]
    corners = [(11, 1), (0, 16), (1, 0)]
    choices = augmentation.Choices(
        torch.full((3,), degrees, dtype=torch.float64),
        torch.tensor(corners, dtype=torch.float64),
        torch.full((3,), flip),
    )
    batch = augmentation.apply(images, choices, 32)
    functional = torchvision_functional()
    for result, image, (left, top) in zip(batch, images, corners, strict=True):
        rotated = functional.rotate(
            torch.from_numpy(image).float(), degrees, functional.InterpolationMode.BILINEAR
        )
        expected = functional.crop(rotated, top, left, 32, 32)
        expected = functional.hflip(expected) if flip else expected
        # At the border of the rotated image torchvision rounds positions of another kind.
        assert float((result - expected).abs().median()) < 0.1
        assert float((result - expected).abs().gt(2).float().mean()) < 0.08


def test_drawn_crops_stay_inside_their_images_and_reach_every_edge() -> None:
    torch.manual_seed(0)
    sizes = torch.tensor([[40, 33]]).repeat(4000, 1)
    choices = augmentation.draw(sizes, 32)
    assert choices.corner.amin(0).tolist() == [0, 0]
    assert choices.corner.amax(0).tolist() == [8, 1]
    assert -20 <= choices.degrees.min() < -19.5 and 19.5 < choices.degrees.max() <= 20
    assert 0.45 < choices.flip.float().mean() < 0.55


@pytest.mark.parametrize(("size", "side"), [(224, 230), (32, 33), (28, 29)])
def test_uncropped_images_have_the_papers_margin(size: int, side: int) -> None:
    assert uncropped_side(size) == side


def torchvision_functional() -> Any:
    declare_missing_operators()
    from torchvision.transforms import functional

    return functional


def smooth(height: int, width: int) -> UInt8:
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 7 + c) * np.cos(columns / 5 - c) for c in range(3)]
    return (127.5 + 120 * np.stack(waves)).astype(np.uint8)


def source(pictures: Any, **changes: Any) -> DatasetSource:
    content: dict[str, Any] = {
        "name": "toy",
        "title": "Toys",
        "classes": ("cat", "dog"),
        "channels": 3,
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
        "files": ("toys",),
        "load": lambda data, part: pictures,
        "archives": (),
    }
    return DatasetSource(**(content | changes))


@pytest.fixture
def photographs(tmp_path: Path) -> ImageFiles:
    """Return files of photographs of different sizes, one of them grey."""
    (tmp_path / "data").mkdir()
    paths = []
    for number, shape in enumerate([(40, 60), (52, 36), (44, 44)]):
        picture = as_picture(smooth(*shape))
        paths.append(tmp_path / "data" / f"{number}.png")
        (picture.convert("L") if number == 2 else picture).save(paths[-1])
    return ImageFiles(tuple(paths), np.asarray([0, 1, 1]))


def test_prepared_photographs_come_back_square_and_uncropped_and_the_same_each_time(
    photographs: ImageFiles, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        write_dataset(folder, source(photographs), tmp_path / "data", 32, "crop", augmented=True)
    for name in ("dataset.json", "pixels.npy", "labels.npy", "uncropped.npy", "shapes.npy"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1
    prepared = read_prepared(folders[0])
    assert prepared.dataset == Dataset("toy", ("cat", "dog"), 3, 32, (0.5,) * 3, (0.25,) * 3)
    assert prepared.dataset == read_dataset(folders[0])
    assert prepared.images.labels.tolist() == [0, 1, 1]
    assert prepared.images.pixels.shape == (3, 3, 32, 32)
    with Image.open(photographs.paths[1]) as picture:
        expected = fit_square(picture, 32, "crop")
    assert np.array_equal(prepared.images.pixels[1], as_pixels(expected))
    grey = prepared.images.pixels[2]
    assert np.array_equal(grey[0], grey[2])
    uncropped = prepared.uncropped
    assert uncropped is not None
    assert [uncropped[i].shape for i in range(3)] == [(3, 33, 49), (3, 47, 33), (3, 33, 33)]
    assert np.array_equal(uncropped.take(np.asarray([2]))[0], uncropped[2])


def test_arrays_of_another_size_are_resized(tmp_path: Path) -> None:
    images = Images(noise(4, 3, 12, 12), np.arange(4))
    write_dataset(tmp_path, source(images), tmp_path, 8, "stretch", augmented=False)
    prepared = read_prepared(tmp_path)
    assert prepared.images.pixels.shape == (4, 3, 8, 8)
    assert prepared.uncropped is None


def test_plain_pixel_files_are_read_behind_their_headers(tmp_path: Path) -> None:
    images = Images(noise(5, 1, 8, 8), np.arange(5))
    data = tmp_path / "data"
    data.mkdir()
    (data / "first").write_bytes(b"head" + images.pixels[:3].tobytes())
    (data / "second").write_bytes(b"head" + images.pixels[3:].tobytes())
    plain = source(images, channels=1, plain_files=(("first", 4), ("second", 4)))
    write_dataset(tmp_path, plain, data, 8, "stretch", augmented=False)
    assert not (tmp_path / "pixels.npy").exists()
    assert np.array_equal(read_prepared(tmp_path).images.pixels, images.pixels)


def test_images_of_another_set_lose_their_labels(tmp_path: Path) -> None:
    images = Images(noise(4, 3, 12, 12), np.arange(4))
    write_images(tmp_path, images, Shape(1, 8, "stretch"), labelled=False, name="toys")
    shown = read_images(tmp_path)
    assert shown.labels.tolist() == [-1] * 4
    assert shown.pixels.shape == (4, 1, 8, 8)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut off", None])
def test_damaged_or_cut_off_photograph_is_named(
    content: bytes | None, photographs: ImageFiles, tmp_path: Path
) -> None:
    path = photographs.paths[0]
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half if content is None else content)
    with pytest.raises(UserError, match=r"0\.png: not a readable image"):
        write_images(tmp_path, photographs, Shape(3, 8, "crop"), labelled=True, name="toys")


@pytest.mark.parametrize("name", ["dataset.json", "labels.npy", "pixels.npy"])
@pytest.mark.parametrize(
    ("content", "told"), [(None, "not found; run `dvc repro"), (b"{", "not readable")]
)
def test_missing_or_damaged_prepared_file_is_named(
    name: str, content: bytes | None, told: str, photographs: ImageFiles, tmp_path: Path
) -> None:
    write_dataset(tmp_path, source(photographs), tmp_path, 32, "crop", augmented=False)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {told}"):
        read_prepared(tmp_path)


def test_absent_data_sets_are_named_with_the_one_command(tmp_path: Path) -> None:
    absent = [source(None, name=name, title=title) for name, title in (("toy", "Toys"), ("b", "B"))]
    sources = [source(None, files=(), title="Here"), *absent]
    with pytest.raises(UserError, match=r"Toys, B: not complete in .*; run `trustmia fetch toy b`"):
        require(sources, tmp_path)
