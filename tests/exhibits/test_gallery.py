"""The gallery shows the right images of every set, in the right order, as they were shown."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.attacks.attacking import LEARNED, fit
from tests.helpers import ROOT, set_params
from trustmia import files, paths
from trustmia.arrays import Bool, UInt8
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.inference import predict
from trustmia.errors import UserError
from trustmia.exhibits.gallery import MAX_PER_SET, MIN_SIDE, enlarged_png, exhibit, select
from trustmia.image_sets import IMAGE_SETS
from trustmia.images.base import Dataset, Images
from trustmia.images.fakes import save_fakes
from trustmia.images.prepared import DESCRIPTION, LABELS, PIXELS, describe, read_dataset
from trustmia.runtime import checkpoints
from trustmia.signals.decisions import read_decisions, unanimous, write_decisions
from trustmia.signals.scores import ScoreSet, write_scores
from trustmia.stages import gallery

CLASSES = ("ant", "bee", "cat")
SETS = ("members", "original", "scaled", "fake", "digits")
PER_SET = 12
SIDE = 8
DATASET = Dataset("fashion_mnist", CLASSES, 1, SIDE, (0.5,), (0.5,))


def scores_of(seed: int, sets: tuple[str, ...] = SETS) -> ScoreSet:
    """Return scores with many ties among the maxima."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sets), dtype=np.int32), PER_SET)
    best = rng.choice([0.5, 0.75, 1.0], size=len(codes))
    scores = np.tile(((1 - best) / 2)[:, None], (1, 3))
    scores[np.arange(len(codes)), rng.integers(3, size=len(codes))] = best
    labels = np.where(codes == sets.index("digits"), -1, rng.integers(3, size=len(codes)))
    return ScoreSet(scores.astype(np.float32), labels, codes == 0, sets, codes)


def pixels_of(seed: int, count: int = PER_SET) -> UInt8:
    return np.random.default_rng(seed).integers(256, size=(count, 1, SIDE, SIDE), dtype=np.uint8)


def opened(png: bytes) -> UInt8:
    return np.asarray(Image.open(io.BytesIO(png)))


@given(st.integers(0, 10**6), st.data())
@settings(max_examples=50, deadline=None)
def test_selection_is_that_of_a_loop(seed: int, data: st.DataObject) -> None:
    target = scores_of(seed)
    count = len(target.labels)
    called = np.asarray(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    chosen = select(target, called)
    assert list(chosen) == list(SETS[1:])
    for code, name in enumerate(SETS[1:], start=1):
        rows = [row for row in range(count) if called[row] and target.set_codes[row] == code]
        best = sorted(rows, key=lambda row: -target.scores[row].max())
        assert chosen[name].tolist() == best[:MAX_PER_SET]


def test_selection_of_real_attacks_is_called_member_by_each() -> None:
    shadow, target = scores_of(1), scores_of(2)
    said = {}
    for name in LEARNED:
        fitted = fit(name, shadow.scores, shadow.member)
        said[name] = fitted.decide(fitted.score(target.scores))
    for rows in select(target, unanimous(np.stack(list(said.values())))).values():
        assert all(called[rows].all() for called in said.values())


def test_exhibits_say_what_the_model_took_an_image_for() -> None:
    target, pixels = scores_of(0), pixels_of(0)
    images = Images(pixels, np.zeros(PER_SET, dtype=np.int64))
    first = SETS.index("fake") * PER_SET
    rows = np.asarray([first + 7, first, first + 11])
    exhibits = exhibit("fake", rows, target, images, CLASSES)
    assert [each["rank"] for each in exhibits] == [0, 1, 2]
    for row, each in zip(rows, exhibits, strict=True):
        assert each["set"] == "fake" and each["score"] == target.scores[row].max()
        assert each["predicted"] == CLASSES[target.scores[row].argmax()]
        assert each["true"] == CLASSES[target.labels[row]]
        assert np.array_equal(opened(each["png"])[::7, ::7], pixels[row - first, 0])
    digit = np.asarray([SETS.index("digits") * PER_SET])
    assert exhibit("digits", digit, target, images, CLASSES)[0]["true"] == "", "it has no class"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 28, 32, 56, 96])
def test_pictures_are_enlarged_by_whole_squares(channels: int, side: int) -> None:
    rng = np.random.default_rng(side)
    pixels = rng.integers(256, size=(channels, side, side), dtype=np.uint8)
    large = opened(enlarged_png(pixels))
    factor = len(large) // side
    assert len(large) >= MIN_SIDE > (factor - 1) * side
    small = pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)
    assert np.array_equal(large, small.repeat(factor, axis=0).repeat(factor, axis=1))
    assert enlarged_png(pixels) == enlarged_png(pixels.copy())


def test_decisions_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    called = np.asarray([[True, False, True], [True, True, False]])
    write_decisions(path, dict(zip(("threshold", "salem"), called, strict=True)), 3)
    assert files.read_arrays(path)["attacks"].tolist() == ["threshold", "salem"]
    decisions = read_decisions(path, num_images=3)
    assert np.array_equal(decisions, called)
    assert unanimous(decisions).tolist() == [True, False, False]
    assert not unanimous(decisions[:0]).any(), "without attacks nothing is called a member"


def test_decisions_that_cannot_be_read_are_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    with pytest.raises(UserError, match=r"d.npz: not found; run `dvc repro attack`"):
        read_decisions(path, 3)
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"d.npz: not readable .* run `dvc checkout"):
        read_decisions(path, 3)
    write_decisions(path, {"salem": np.ones(4, dtype=np.bool_)}, 4)
    with pytest.raises(UserError, match=r"shape \[1, 4\]; allowed: \[1, 3\]"):
        read_decisions(path, 3)


Workspace = Callable[[ScoreSet, Bool], None]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return what fills a folder with the inputs of the stage, of tiny images."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    set_params(tmp_path, {"image_sets.nonmember_sets": list(SETS[1:])})

    def write_images(folder: Path, images: Images) -> None:
        folder.mkdir(parents=True)
        np.save(folder / PIXELS, images.pixels)
        np.save(folder / LABELS, images.labels)

    labels = np.zeros(3 * PER_SET, dtype=np.int64)
    write_images(paths.DATASET, Images(pixels_of(1, 3 * PER_SET), labels))
    files.write_text(paths.DATASET / DESCRIPTION, describe(DATASET, pixel_files=None))
    write_images(paths.IMAGE_SETS / "digits", Images(pixels_of(2), labels[:PER_SET]))
    save_fakes(paths.FAKES, Images(pixels_of(3), labels[:PER_SET]), {})
    order = np.random.default_rng(0).permutation(3 * PER_SET)
    split = {"members": order[:PER_SET], "non_members": order[PER_SET : 2 * PER_SET]}
    files.write_arrays(paths.SPLIT / "target.npz", split)

    def fill(target: ScoreSet, called: Bool) -> None:
        write_scores(paths.SCORES / "target.npz", target)
        write_decisions(paths.DECISIONS, {"threshold": called}, len(called))

    return fill


def test_stage_shows_every_set_its_own_images_in_the_same_bytes(workspace: Workspace) -> None:
    target = scores_of(4)
    called = target.set_codes != SETS.index("scaled")
    workspace(target, called)
    contents = []
    for _ in range(2):
        gallery.main()
        contents.append((paths.GALLERY / "gallery.parquet").read_bytes())
    assert contents[0] == contents[1]
    table = pd.read_parquet(paths.GALLERY / "gallery.parquet")
    assert list(table.columns) == ["set", "rank", "score", "predicted", "true", "png"]
    assert set(table["set"]) == {"original", "fake", "digits"}
    held_out = files.read_arrays(paths.SPLIT / "target.npz")["non_members"]
    sources = {
        "original": pixels_of(1, 3 * PER_SET)[held_out],
        "fake": pixels_of(3),
        "digits": pixels_of(2),
    }
    chosen = select(target, called)
    for name, rows in table.groupby("set"):
        places = chosen[str(name)] - SETS.index(str(name)) * PER_SET
        assert len(rows) == MAX_PER_SET and rows["rank"].tolist() == list(range(MAX_PER_SET))
        for place, png in zip(places, rows["png"], strict=True):
            assert np.array_equal(opened(png)[::7, ::7], sources[str(name)][place, 0])


def test_gallery_may_be_empty(workspace: Workspace) -> None:
    target = scores_of(6)
    workspace(target, target.member)
    gallery.main()
    table = pd.read_parquet(paths.GALLERY / "gallery.parquet")
    assert len(table) == 0 and list(table.columns)[:2] == ["set", "rank"]


def test_scores_of_other_images_are_named(workspace: Workspace) -> None:
    target = scores_of(7)
    by_row = ("scores", "labels", "member", "set_codes")
    workspace(replace(target, **{k: getattr(target, k)[:-1] for k in by_row}), ~target.member[:-1])
    with pytest.raises(UserError, match="not of the images of set digits; run `dvc repro predict`"):
        gallery.main()
    assert not paths.GALLERY.exists()


def test_target_says_of_an_exhibit_what_the_gallery_says(small: Path) -> None:
    table = pd.read_parquet(small / paths.GALLERY / "gallery.parquet")
    dataset = read_dataset(small / paths.DATASET)
    model = classifiers.restore(
        dataset, checkpoints.load(small / paths.CLASSIFIERS / "target" / "model")
    )
    assert len(table) > 0
    for name, rows in table.groupby("set"):
        pixels = np.stack([opened(png)[::2, ::2][None] for png in rows["png"]])
        images = Images(pixels, np.zeros(len(rows), dtype=np.int64))
        known = IMAGE_SETS[str(name)]
        shown = classifiers.prepare(dataset, images, known.normalised, known.scale)
        logits = predict(model, shown).logits
        scores = logits.softmax(dim=1).numpy()
        assert np.allclose(scores.max(axis=1), rows["score"], atol=1e-3)
        assert [dataset.classes[k] for k in scores.argmax(axis=1)] == rows["predicted"].tolist()
        assert (np.diff(rows["score"]) <= 0).all()
