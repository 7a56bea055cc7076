"""Features that are kept, and their picture in the plane."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from tests.helpers import ROOT
from trustmia import files
from trustmia.arrays import Float32, Int64
from trustmia.errors import UserError
from trustmia.exhibits.embedding import tsne
from trustmia.image_sets.sampling import draw_at_most
from trustmia.images.base import Dataset
from trustmia.images.prepared import DESCRIPTION, describe
from trustmia.params import load_params
from trustmia.signals.features import read_features, sample_features, write_features
from trustmia.signals.scores import read_scores
from trustmia.stages import embed


def clusters(count: int, seed: int = 0) -> tuple[Float32, Int64]:
    """Return features float32 [N, 16] around three centres, and which centre."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 3
    centres = rng.normal(scale=4, size=(3, 16))
    return (centres[label] + rng.normal(size=(count, 16))).astype(np.float32), label


def test_clusters_stay_together() -> None:
    features, label = clusters(150)
    plane = tsne(features, seed=1)
    assert plane.shape == (150, 2) and plane.dtype == np.float32
    apart = np.linalg.norm(plane[:, None] - plane, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert np.array_equal(label[apart.argmin(axis=1)], label)


def test_the_picture_does_not_depend_on_the_number_of_threads() -> None:
    features = np.random.default_rng(0).normal(size=(200, 128)).clip(0).astype(np.float32)
    with threadpool_limits(limits=1):
        alone = tsne(features, seed=1)
    with threadpool_limits(limits=2):
        assert np.array_equal(tsne(features, seed=1), alone)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_few_images_have_a_place(count: int) -> None:
    assert np.isfinite(tsne(clusters(count)[0], seed=1)).all()


def test_features_without_any_difference_share_a_point() -> None:
    assert np.array_equal(tsne(np.full((50, 8), 3, dtype=np.float32), seed=1), np.zeros((50, 2)))


def test_sample_keeps_features_and_labels_of_the_same_images() -> None:
    labels = np.random.default_rng(0).integers(10, size=90)
    features = np.stack([np.arange(90), labels], axis=1).astype(np.float32)
    sample = sample_features("fake", features, labels, 40, seed=3)
    assert len(np.unique(sample.features[:, 0])) == len(sample.labels) == 40
    assert np.array_equal(sample.features[:, 1], sample.labels)
    assert set(sample.sets) == {"fake"}
    again, other = (sample_features("fake", features, labels, 40, seed=s) for s in (3, 4))
    assert np.array_equal(sample.features, again.features)
    assert not np.array_equal(sample.features, other.features)
    assert np.array_equal(sample_features("fake", features, labels, 90, 3).features, features)


def test_samples_come_back_from_their_file(tmp_path: Path) -> None:
    samples = [sample_features(n, *clusters(30), 10, 0) for n in ("members", "original")]
    write_features(tmp_path / "f.npz", samples)
    read = read_features(tmp_path / "f.npz")
    for name in ("features", "labels", "sets"):
        written = np.concatenate([getattr(sample, name) for sample in samples])
        assert np.array_equal(getattr(read, name), written), name


def test_features_that_cannot_be_read_are_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with pytest.raises(UserError, match=r"f.npz: not found; run `dvc repro predict`"):
        read_features(path)
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"f.npz: not readable .* run `dvc checkout"):
        read_features(path)
    files.write_arrays(path, {"features": np.ones((2, 3))})
    with pytest.raises(UserError, match=r"f.npz: not readable .*labels"):
        read_features(path)
    features, labels = clusters(5)
    features[3, 1] = np.nan
    write_features(path, [sample_features("members", features, labels, 5, 0)])
    with pytest.raises(UserError, match=r"f.npz: row 3 of features has NaN or infinity"):
        read_features(path)


def test_stage_names_set_and_class_of_every_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    dataset = Dataset("fashion_mnist", ("ant", "bee", "cat"), 1, 28, (0.5,), (0.5,))
    files.write_text(
        Path("outputs/images/dataset") / DESCRIPTION, describe(dataset, pixel_files=None)
    )
    samples = [sample_features(n, *clusters(30), 10, 0) for n in ("members", "fake")]
    write_features(Path("outputs/features/target.npz"), samples)
    embed.main()
    table = pd.read_csv("plots/tsne.csv")
    assert list(table.columns) == ["x", "y", "set", "label"]
    assert table["set"].tolist() == ["members"] * 10 + ["fake"] * 10
    drawn = np.concatenate([s.labels for s in samples])
    assert table["label"].tolist() == [dataset.classes[label] for label in drawn]


def test_kept_features_give_the_scores_of_their_images(small: Path) -> None:
    params = load_params(small / "params.yaml")
    scores = read_scores(small / "outputs/scores/target.npz", needs_sets=True)
    sample = read_features(small / "outputs/features/target.npz")
    rows = {"members": np.flatnonzero(scores.member), **scores.nonmember_sets()}
    limit, seed = params.predict.feature_images, params.seed
    names = ("members", "original", "fake")
    drawn = [draw_at_most(len(rows[k]), limit, seed, f"features/{k}") for k in names]
    index = np.concatenate([rows[name][some] for name, some in zip(names, drawn, strict=True)])
    assert np.array_equal(sample.labels, scores.labels[index])
    weights = load_file(small / "outputs/classifiers/target/model.safetensors")
    logits = sample.features @ weights["out.weight"].T + weights["out.bias"]
    assert np.allclose(softmax(logits, axis=1), scores.scores[index], atol=1e-3)
