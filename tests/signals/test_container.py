"""Files of signals in every form; malformed ones are named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax

from tests.attacks.attacking import COMPARED, COMPARING
from tests.signals.many_models import (
    RMIA,
    Arrays,
    arrays,
    audit,
    compared,
    lira_folder,
    own_folder,
    privacy_meter_folder,
    save,
    scores_of,
)
from tests.signals.test_score_files import changed, without
from trustmia.attacks import ATTACKS
from trustmia.errors import UserError
from trustmia.signals import confidence
from trustmia.signals.comparison import compare
from trustmia.signals.many_models import read_signals


def test_every_form_of_the_same_signals_gives_the_same_scores(tmp_path: Path) -> None:
    content = arrays(models=12)
    expected = scores_of(save(tmp_path / "signals.npz", content), 3)
    assert set(expected) == set(COMPARED)
    as_scores = {name.replace("logits", "scores"): array for name, array in content.items()}
    for name in ("scores", "population_scores"):
        as_scores[name] = softmax(as_scores[name].astype(float), axis=-1)
    forms = {
        "own folder": own_folder(tmp_path / "own", content),
        "scores": save(tmp_path / "scores.npz", as_scores),
        "published LiRA, scores": lira_folder(tmp_path / "lira", content, "scores"),
        "published LiRA, logits": lira_folder(tmp_path / "raw", content, "logits"),
        "Privacy Meter": privacy_meter_folder(tmp_path / "meter", content),
        "Privacy Meter, losses": privacy_meter_folder(tmp_path / "losses", content, "loss"),
    }
    for form, path in forms.items():
        found = scores_of(path, 3)
        missing = set(expected) - set(found)
        assert missing == (set(RMIA) if "LiRA" in form else set()), form
        for name, values in found.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-6, err_msg=f"{form} {name}")


def test_folder_is_memory_mapped_and_read_a_block_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = read_signals(own_folder(tmp_path / "own", arrays()))
    assert all(isinstance(model, np.memmap) for model in signals.images.models)
    monkeypatch.setattr("trustmia.arrays.BLOCK", 240)
    asked = mock.Mock(side_effect=type(signals.images).confidences)
    monkeypatch.setattr(type(signals.images), "confidences", lambda *rows: asked(*rows))
    compared(signals, ["loss"])
    counts = [rows.stop - rows.start for _, rows in (call.args for call in asked.mock_calls)]
    assert max(counts) == 10 and sum(counts) == 40 + 30


GOOD = arrays()


def other(name: str, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Arrays:
    return GOOD | {name: change(GOOD[name])}


def of_a_further_set() -> Arrays:
    member = GOOD["member"].copy()
    member[0, 30:] = np.arange(10) == 3
    return GOOD | {"set": np.repeat(["members", "zebra"], (30, 10)), "member": member}


def of_scores(row: list[float]) -> Arrays:
    """Return signals in which all models say the same of all images, without a population."""
    return {
        "member": GOOD["member"],
        "labels": 0 * GOOD["labels"],
        "scores": np.full((6, 40, 2), row),
    }


MALFORMED: dict[str, tuple[Arrays, str]] = {
    "no logits": (without(GOOD, "logits"), "no logits and no scores; allowed: one of"),
    "both": (GOOD | {"scores": GOOD["logits"]}, "has logits and scores; allowed: one of"),
    "no member": (without(GOOD, "member"), "lacks member"),
    "no labels": (without(GOOD, "labels"), "lacks labels"),
    "no population labels": (without(GOOD, "population_labels"), "lacks population_labels"),
    "flat": (other("logits", lambda a: a[0]), r"logits is float32 \[40, 4\]; allowed: float"),
    "whole numbers": (other("logits", lambda a: a.astype(int)), "logits is int64"),
    "one class": (other("logits", lambda a: a[..., :1]), r"logits is float32 \[6, 40, 1\]"),
    "few labels": (other("labels", lambda a: a[:-1]), r"labels is int64 \[39\]; allowed: .*\[40"),
    "label outside": (changed(GOOD, "labels", (7,), 4), "labels: image 7 has 4; allowed: 0 to 3"),
    "label below": (changed(GOOD, "labels", (7,), -1), "labels: image 7 has -1; allowed: 0 to 3"),
    "member turned": (other("member", lambda a: a.T), r"member is bool \[40, 6\]; allowed"),
    "member of 2": (other("member", lambda a: 2 * a), "other numbers than 0 and 1"),
    "member of text": (other("member", lambda a: a.astype(str)), "member is <U5"),
    "NaN": (changed(GOOD, "logits", (2, 9, 1), np.nan), "logits: model 2, image 9 has nan"),
    "too large": (
        other("logits", lambda a: 1e150 * a.astype(float)),
        "logits: model 0, image 0 has .*e.1[0-9]*; allowed: finite numbers, of a size below 1e.100",
    ),
    "infinite": (
        changed(GOOD, "population_logits", (1, 3, 0), np.inf),
        "population_logits: model 1, image 3 has inf",
    ),
    "other models": (other("population_logits", lambda a: a[1:]), r"population_logits is \[5,"),
    "nothing to rank": (
        changed(GOOD, "member", slice(0, 2), [[True], [False]]),
        "model 0 was trained on all images or on none",
    ),
    "no population": (
        other("population_logits", lambda a: a[:, :0]),
        r"population_logits is \[6, 0, 4\]; allowed: .* at least one",
    ),
    "member of another set": (
        of_a_further_set(),
        "image 33 is of set zebra, but model 0 was trained on it",
    ),
    "one model": (
        GOOD | {k: GOOD[k][:1] for k in ("logits", "member", "population_logits")},
        "one model is no audit",
    ),
    "population of the other kind": (
        without(GOOD, "population_logits") | {"population_scores": np.zeros((1, 1, 1))},
        "has logits and population_scores; allowed: both",
    ),
    "logits as scores": (
        {name.replace("logits", "scores"): array for name, array in GOOD.items()},
        r"images 0 to 39: .* leave \[0, 1\]; are they logits",
    ),
    "scores beyond one": (of_scores([2.3, 0]), r"leave \[0, 1\]; are they logits"),
    "scores that sum to 2": (
        changed(of_scores([0.5, 0.5]), "scores", (2, 7), 1),
        r"some scores sum to 2\.0; allowed: 1 ± .* divide",
    ),
}


@pytest.mark.parametrize(("content", "told"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_signals_are_named_and_nothing_is_written(
    content: Arrays, told: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "signals.npz", content)
    with pytest.raises(UserError, match=told):
        audit(path, COMPARING, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: None, "no such file or folder"),
        (lambda p: p.write_bytes(b"no archive"), "not a readable NPZ"),
        (lambda p: p.mkdir(), "in no known form; allowed: member.npy with"),
        (lambda p: np.savez(p.open("wb"), logits=np.asarray([{}])), "logits holds Python objects"),
    ],
)
def test_path_without_signals_is_named(
    make: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    make(tmp_path / "signals")
    assert_refused(tmp_path / "signals", told)


def assert_refused(path: Path, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_signals(path)


def test_published_lira_folders_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = lira_folder(tmp_path / "lira", arrays(), "logits")
    (folder / "labels.npy").unlink()
    assert_refused(folder, r"logits need labels: save them as .*labels\.npy")
    (folder / "1" / "keep.npy").write_text("no array")
    assert_refused(folder, r"1/keep\.npy: not an array of numbers or text \(text, a pi")
    (folder / "1" / "keep.npy").unlink()
    assert_refused(folder, r"1/keep\.npy: no such file")
    np.save(folder / "1" / "keep.npy", np.ones(40, bool))
    np.save(folder / "2" / "scores.npy", np.ones((40, 1)))
    assert_refused(folder, r"0/scores\.npy: no such file; allowed: keep\.npy and scores\.npy in")
    (folder / "2" / "scores.npy").unlink()
    np.save(folder / "2" / "keep.npy", np.ones(7, bool))
    assert_refused(folder, r"2/keep\.npy is \[7\]; allowed: \[40\]")
    np.save(folder / "1" / "logits.npy", np.ones((7, 1, 4)))
    assert_refused(folder, r"1/logits\.npy is \[7, 1, 4\], but the first model's")


@pytest.mark.parametrize(
    "name", ["{}", "experiment-{}_12", "exp{}", "model_{:03d}", "a{}-7b", "{}x"]
)
def test_models_are_in_the_order_of_the_numbers_in_their_names(name: str, tmp_path: Path) -> None:
    content = arrays(models=12)
    path = lira_folder(tmp_path / "lira", content, "logits", name)
    assert np.array_equal(read_signals(path).member, content["member"])
    audited = f"{path}/{name.format(2)}"
    told, metrics = audit(path, ["loss"], tmp_path / "out", 2)
    assert told.startswith(f"Audited: {audited}, model 2 of 0 to 11 in {path}/*/logits.npy\n")
    assert metrics["target"] == audited and metrics["signals"] == f"{path}/*/logits.npy"


def test_what_was_audited_is_named(tmp_path: Path) -> None:
    content = arrays(models=12)
    npz = save(tmp_path / "signals.npz", content)
    meter = privacy_meter_folder(tmp_path / "meter", content)
    for path, source, target in (
        (npz, npz, "row 10 of logits"),
        (meter, meter / "signals" / "rmia_signals.npy", "column 10"),
    ):
        told, metrics = audit(path, ["loss"], tmp_path / f"out of {path.name}", 10)
        assert f"Audited: {target}, model 10 of 0 to 11 in {source}\n" in told
        assert (metrics["signals"], metrics["target"]) == (str(source), target)


def test_privacy_meters_probabilities_go_before_its_losses_and_others_are_told(
    tmp_path: Path,
) -> None:
    content = arrays()
    path = privacy_meter_folder(tmp_path / "meter", content)
    alone = scores_of(path)
    privacy_meter_folder(path, content, "loss")
    np.save(path / "signals" / "rmia_ramia_signals.npy", np.ones((400, 6)))
    np.testing.assert_equal(scores_of(path), alone)
    told, _ = audit(path, ["loss"], tmp_path / "out")
    unread = [f"{path}/signals/{name}_signals.npy" for name in ("loss", "rmia_ramia")]
    assert f"Not read: {', '.join(unread)}.\n" in told


def test_what_may_be_losses_or_probabilities_is_refused(tmp_path: Path) -> None:
    path = privacy_meter_folder(tmp_path / "meter", arrays())
    signals = path / "signals"
    for suffix in ("", "_pop"):
        (signals / f"rmia_signals{suffix}.npy").rename(signals / f"loss_signals{suffix}.npy")
    assert_refused(path, r"loss_signals\.npy: all are in \[0, 1\], .*; save prob")
    # One loss above 1 tells, be it of the population.
    np.save(signals / "loss_signals_pop.npy", np.full((9, 6), 1.5))
    assert read_signals(path).source.endswith("loss_signals.npy")


def test_losses_of_0_are_certain_and_keep_their_order(tmp_path: Path) -> None:
    path = privacy_meter_folder(tmp_path / "meter", arrays(), "loss")
    file = path / "signals" / "loss_signals.npy"
    (path / "signals" / "loss_signals_pop.npy").unlink()
    losses = np.load(file).astype(np.float32)
    losses[:4] = [[0], [1e-20], [1e-7], [1000]]
    np.save(file, losses)
    phi = read_signals(path).images.confidences(slice(0, 4))[0, :, 0]
    np.testing.assert_allclose(phi[1:], [-np.log(1e-20), -np.log(1e-7), -1000], rtol=1e-6)
    assert phi[1] < phi[0] < 50
    losses[1] = 1e-3
    np.save(file, losses)
    phi = read_signals(path).images.confidences(slice(0, 4))[0, :, 0]
    # As a probability of this type that was rounded to 1.
    assert phi[0] == pytest.approx(confidence.from_probability(np.ones(1, np.float32))[0])
    losses[2, 3] = -0.1
    np.save(file, losses)
    with pytest.raises(UserError, match=r"loss_signals\.npy: images 0 to 39: some are below 0"):
        scores_of(path)


def test_privacy_meter_folders_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = privacy_meter_folder(tmp_path / "meter", arrays())
    np.save(folder / "signals" / "rmia_signals_pop.npy", np.ones((9, 2)))
    assert_refused(folder, r"rmia_signals_pop\.npy is \[9, 2\]; allowed: \[images, 6")
    np.save(folder / "memberships.npy", np.ones((40, 6), bool))
    assert_refused(folder, r"memberships\.npy \[40, 6\]; allowed: \[images, models\]")
    np.save(folder / "signals" / "rmia_signals.npy", np.ones((40, 6), int))
    assert_refused(folder, r"rmia_signals\.npy is int64 \[40, 6\]; allowed: float")
    (folder / "signals" / "rmia_signals.npy").rename(folder / "signals" / "my_signals.npy")
    assert_refused(folder, r"has my_signals\.npy; allowed: rmia_signals\.npy \(the")
    privacy_meter_folder(folder, arrays())
    losses = privacy_meter_folder(tmp_path / "losses", arrays(), "loss") / "signals"
    (losses / "loss_signals.npy").rename(folder / "signals" / "rmia_signals.npy")
    with pytest.raises(UserError, match=r"outside \[0, 1\]; .* losses as loss_signals\.npy"):
        scores_of(folder)


@pytest.mark.parametrize("shape", [(40,), (40, 3)])
def test_probabilities_are_not_taken_for_confidences(tmp_path: Path, shape: tuple[int]) -> None:
    for model in lira_folder(tmp_path, arrays(models=4), "scores").iterdir():
        np.save(model / "scores.npy", np.random.default_rng(0).uniform(size=shape))
    assert_refused(tmp_path, r"all are in \[0, 1\], as probabilities are; allowed")


def test_whole_floats_are_labels_and_membership(tmp_path: Path) -> None:
    content = arrays()
    plain = read_signals(save(tmp_path / "plain.npz", content))
    floats = {key: content[key].astype(np.float32) for key in ("member", "labels")}
    found = read_signals(save(tmp_path / "floats.npz", content | floats))
    assert (found.member == plain.member).all()
    assert (found.images.labels == plain.images.labels).all()


def test_scores_that_cannot_be_ranked_are_refused(tmp_path: Path) -> None:
    broken = replace(COMPARED["loss"], score=lambda *_: np.full(40, np.nan))
    models = read_signals(save(tmp_path / "signals.npz", arrays()))
    with pytest.raises(UserError, match="loss: 40 images have a score of nan"):
        broken.scores(compare(models, 0), ATTACKS["loss"].settings())
