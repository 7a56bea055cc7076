"""Reference models: who is trained on what, and the same weights however they are trained."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import ROOT, documented, environment, run, set_params, stages_run
from trustmia.classifiers import TrainConfig
from trustmia.classifiers.recipe import Recipe
from trustmia.errors import UserError
from trustmia.image_sets.views import VIEWS
from trustmia.images.base import Dataset, Images
from trustmia.measures.table import read_results
from trustmia.measures.views import ranking_entries
from trustmia.params import load_params
from trustmia.references import Parallel
from trustmia.references.assignment import complementary_halves
from trustmia.references.job import Job, Task, tasks, train_one
from trustmia.references.local import LocalExecutor
from trustmia.references.store import read_member
from trustmia.references.unfinished import Unfinished
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import resolved, threads
from trustmia.signals.many_models import read_signals
from trustmia.signals.rows import arrange
from trustmia.signals.summaries import summarise
from trustmia.stages._classifier_recipe import classifier_recipe

CPU = torch.device("cpu")
TRAIN = TrainConfig(
    epochs=2, batch_size=8, lr=0.01, weight_decay=0.001, label_smoothing=0.1, precision="fp32"
)


def job(images: int = 41, arch: str = "salem_cnn", epochs: int = 2, lr: float = 0.01) -> Job:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=images)
    pixels = rng.integers(256, size=(images, 1, 8, 8), dtype=np.uint8)
    pixels[np.arange(images), 0, labels] = 255
    return Job(
        dataset=Dataset("none", ("a", "b", "c"), 1, 8, (0.5,), (0.25,)),
        pool=Images(pixels, labels),
        uncropped=None,
        recipe=Recipe(
            arch=arch,
            config=TRAIN.model_copy(update={"epochs": epochs, "lr": lr}),
            seed=0,
            params={"train.epochs": epochs},
            remedy=f"with train.lr={lr}; choose a smaller train.lr",
        ),
    )


def trained(parallel: Parallel, job_: Job, models: int = 4) -> dict[int, Checkpoint]:
    found: dict[int, Checkpoint] = {}

    def done(task: Task, checkpoint: Checkpoint) -> None:
        assert task.number not in found
        found[task.number] = checkpoint

    wanted = tasks(complementary_halves(len(job_.pool), models, 5), 5)
    LocalExecutor(parallel, stack_size=3)(job_, wanted, done)
    return found


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let models compute in float64, whose rounding no training magnifies to what is asked."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def largest_difference(a: Checkpoint, b: Checkpoint) -> float:
    assert a.tensors.keys() == b.tensors.keys()
    return max(
        float((a.tensors[k].double() - b.tensors[k].double()).abs().max()) for k in a.tensors
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_every_image_is_in_as_often_as_out(images: int, pairs: int, seed: int) -> None:
    member = complementary_halves(images, 2 * pairs, seed)
    assert member.shape == (2 * pairs, images)
    assert (member.sum(axis=0) == pairs).all()
    assert (member[0::2] == ~member[1::2]).all()
    assert (np.abs(member.sum(axis=1) - images / 2) <= 0.5).all()
    more = complementary_halves(images, 2 * pairs + 2, seed)
    assert np.array_equal(more[: 2 * pairs], member)


def test_pairs_differ_from_each_other_and_with_the_seed() -> None:
    member = complementary_halves(100, 4, 1)
    assert not np.array_equal(member[0], member[2])
    assert not np.array_equal(member[0], complementary_halves(100, 2, 2)[0])
    with pytest.raises(ValueError, match="3 models are not pairs"):
        complementary_halves(100, 3, 1)


def test_models_are_trained_on_their_own_half_with_a_seed_of_their_own() -> None:
    found = trained("none", job())
    assert sorted(found) == [0, 1, 2, 3]
    assert [c.card["data"]["images"] for c in found.values()] == [20, 21, 20, 21]
    digests = {c.card["data"]["sha256"] for c in found.values()}
    assert len(digests) == 4
    assert all(c.card["history"][-1]["test_accuracy"] is None for c in found.values())
    first = found[0].tensors["out.weight"]
    assert not torch.equal(first, found[1].tensors["out.weight"])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("changes", [{}, {"images": 16, "arch": "resnet18", "epochs": 1}])
def test_stacked_models_are_those_trained_alone(changes: dict[str, Any]) -> None:
    job_ = job(**changes)
    alone, stacked = trained("none", job_), trained("stacked", job_)
    assert max(largest_difference(c, stacked[n]) for n, c in alone.items()) < 1e-6


def test_worker_processes_give_what_one_thread_gives() -> None:
    job_ = job()
    found = trained("processes", job_, models=2)
    wanted = tasks(complementary_halves(len(job_.pool), 2, 5), 5)
    with threads(2):
        alone = [train_one(job_, task, CPU) for task in wanted]
    assert all(largest_difference(c, found[n]) == 0 for n, c in enumerate(alone))


INTERRUPTED = """
import dataclasses, os, signal, sys
import numpy as np
from tests.test_references import job, tasks
from trustmia import program
from trustmia.references import local

def interrupt(*_):
    os.killpg(0, signal.SIGINT)

def main():
    many = job(4000, epochs=10**6)
    member = np.ones((3, 4000), dtype=bool)
    if sys.argv[1] == "starting":
        local.as_completed = interrupt
    else:
        many = dataclasses.replace(many, recipe=job(epochs=300).recipe)
        member[0, 2:] = False
    local.cores = lambda: 2
    local.LocalExecutor("processes")(many, tasks(member, 5), interrupt)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    program.run("train_references", main)
"""


@pytest.mark.parametrize("workers", ["starting", "training"])
def test_ctrl_c_ends_worker_processes_at_once_without_a_word(workers: str, tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, tmp_path / "interrupted.py", workers],
        env=environment(ROOT) | {"PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=120)
        assert (process.returncode, said) == (130, "train_references: interrupted\n")
        group = [one for one in psutil.process_iter() if session_of(one.pid) == process.pid]
        assert [one for one in group if one.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def session_of(process: int) -> int | None:
    try:
        return os.getsid(process)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize("parallel", ["none", "stacked"])
def test_a_loss_that_is_not_finite_names_the_learning_rate(parallel: Parallel) -> None:
    with pytest.raises(UserError, match=r"not finite in epoch 1 with train.lr=1e\+38; choose"):
        trained(parallel, job(lr=1e38), models=2)


def test_finished_models_of_the_same_training_are_kept_and_no_others(tmp_path: Path) -> None:
    job_ = job(epochs=1)
    wanted = tasks(complementary_halves(len(job_.pool), 2, 5), 5)
    unfinished = Unfinished(tmp_path / "unfinished", job_, wanted)
    assert unfinished.missing() == wanted
    unfinished.keep(wanted[0], train_one(job_, wanted[0], CPU))
    again = Unfinished(tmp_path / "unfinished", job_, wanted)
    assert again.missing() == wanted[1:]
    (unfinished.folder / "model_0001.safetensors").write_bytes(b"half a file")
    assert again.missing() == wanted[1:]
    other = replace(job_, recipe=replace(job_.recipe, params={"train.epochs": 2}))
    assert Unfinished(tmp_path / "unfinished", other, wanted).missing() == wanted
    assert not unfinished.folder.exists()


def test_rows_of_signals_know_who_was_trained_on_what() -> None:
    sets = np.asarray(["members"] * 3 + ["permuted"] * 2 + ["original"] * 2 + ["fake"] * 2)
    labels = np.asarray([0, 1, 2, 3, 4, 3, 4, 0, 1])
    logits = np.eye(9, dtype=np.float32)[::-1].copy()
    member = np.asarray([[1, 0, 0, 1, 0], [0, 1, 1, 0, 1]], dtype=bool)
    rows = arrange(sets, labels, logits, member)
    expected = ["members"] * 3 + ["original"] * 2 + ["permuted"] * 2 + ["fake"] * 2
    assert rows.sets.tolist() == expected
    assert rows.order.tolist() == [0, 1, 2, 5, 6, 3, 4, 7, 8]
    # Fakes have no label of their own: the target's predicted class takes its place.
    assert rows.labels.tolist() == [0, 1, 2, 3, 4, 3, 4, 1, 0]
    assert rows.member[0].tolist() == [True] * 3 + [False] * 6
    # A permuted image is one of a model's own where the model was trained on its original.
    assert rows.member[1].tolist() == [True, False, False, True, False, True, False, False, False]
    assert (rows.member[1, :7] != rows.member[2, :7]).all()
    nobody = arrange(sets, labels, logits, np.zeros((0, 5), dtype=bool))
    assert nobody.member.shape == (1, 9)
    with pytest.raises(ValueError, match="4 images divided, but 5 audited"):
        arrange(sets, labels, logits, member[:, :4])


def test_views_move_and_mirror_images() -> None:
    pixels = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    assert VIEWS["plain"](pixels) is pixels
    assert np.array_equal(VIEWS["flip"](pixels), pixels[..., ::-1])
    assert np.array_equal(VIEWS["shift_left"](pixels)[..., :-1], pixels[..., 1:])
    assert np.array_equal(VIEWS["shift_left"](pixels)[..., -1], pixels[..., -1])
    assert np.array_equal(VIEWS["shift_right"](pixels)[..., 1:], pixels[..., :-1])
    assert np.array_equal(VIEWS["shift_up"](pixels)[:, :, :-1], pixels[:, :, 1:])
    assert np.array_equal(VIEWS["shift_down"](pixels)[:, :, 1:], pixels[:, :, :-1])
    assert all(view(pixels).dtype == np.uint8 for view in VIEWS.values())


def test_without_reference_models_a_summary_has_the_target_alone(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(1, 6, 3))
    member = np.asarray([[True, False] * 3])
    np.savez(tmp_path / "s.npz", logits=logits, member=member, labels=np.zeros(6, int))
    signals = read_signals(tmp_path / "s.npz")
    found = summarise(signals.images, signals.member, 0, np.zeros(0, np.int64))
    assert np.isfinite(found.target).all() and np.isnan(found.out_models.median).all()
    assert not found.in_models.count.any()


# The stages, in a clone whose experiment is small


def weights(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_an_interrupted_stage_goes_on_with_the_missing_models(restored: Path) -> None:
    four = {"references.count": 4, "references.epochs": 6, "references.parallel": "processes"}
    set_params(restored, four)
    stage = ["python", "src/stage.py", "train_references"]
    unfinished = restored / "outputs/references.unfinished"
    process = subprocess.Popen(
        stage, cwd=restored, env=environment(restored), stderr=subprocess.DEVNULL
    )
    while not list(unfinished.glob("*/model_*.json")):
        assert process.poll() is None, "the stage ended before it was interrupted"
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not psutil.wait_procs(children, timeout=30)[1], "workers outlived the stage"
    kept = {p.name: p.stat().st_mtime_ns for p in unfinished.glob("*/model_*.safetensors")}
    assert 1 <= len(kept) < 4
    (next(unfinished.iterdir()) / ".model_0003-half.safetensors").write_bytes(b"half")
    said = run(restored, *stage).stderr
    assert f"{len(kept)}/4" in said
    found = restored / "outputs/references"
    assert {n: (found / n).stat().st_mtime_ns for n in kept} == kept
    assert not unfinished.exists()
    interrupted = weights(found)
    assert len(interrupted) == 2 + 2 * 4, "members, images, and two files for each model"
    run(restored, *stage)
    assert weights(found) == interrupted


@pytest.mark.ray
def test_ray_gives_the_same_models(restored: Path) -> None:
    before = weights(restored / "outputs/references")
    (command,) = documented("docs/clusters.md", "ray")
    here = command.replace("HEAD:6379", "null").replace("count=64", "count=2").split()
    assert "train_references" in stages_run(run(restored, *here, "train_references").stdout)
    assert weights(restored / "outputs/references") == before


def test_signals_are_an_audit_of_anyones(restored: Path, tmp_path: Path) -> None:
    ranking = ranking_entries(read_results(restored / "metrics/results.csv"))
    assert set(ranking) >= {"threshold", "salem", "loss", "lira_online_global_variance"}
    for name, entry in ranking.items():
        others = set(entry["fpr_at_5pct"]) - {"original"}
        assert bool(others) == ("online" not in name), name
    command = ["trustmia", "audit", "--signals", "outputs/signals", "--seed", "42"]
    options = ["--resamples", "50", "-S", "lira.variance=global", "--out", str(tmp_path / "audit")]
    run(restored, *command, *options)
    audited = json.loads((tmp_path / "audit/metrics.json").read_text())["attacks"]
    for name, entry in audited.items():
        assert entry == json.loads(json.dumps(ranking[name])), name
    images = np.load(restored / "outputs/references/images.npy")
    member = np.load(restored / "outputs/signals/member.npy")
    references = read_member(restored / "outputs/references")
    assert np.array_equal(member[1:, : len(images)], references)
    split = np.load(restored / "outputs/split/target.npz")
    audited_images = np.concatenate([split["members"], split["non_members"]])
    assert np.array_equal(images, audited_images)
    target = np.load(restored / "outputs/scores/target.npz")
    logits = np.load(restored / "outputs/signals/logits.npy")
    names = np.load(restored / "outputs/signals/set.npy")
    for name in ("members", "fake", "patches"):
        assert np.array_equal(logits[0, names == name], target["logits"][target["set"] == name])


def test_models_of_another_precision_are_not_compared(restored: Path) -> None:
    card = restored / "outputs" / "references" / "model_0001.json"
    changed = json.loads(card.read_text())
    assert changed["params"]["train.precision"] == "fp32"
    changed["params"]["train.precision"] = "bf16"
    card.unlink()
    card.write_text(json.dumps(changed))
    result = run(restored, "python", "src/stage.py", "predict_references", code=2)
    assert "model_0001: trained in bf16, but the target in fp32; set" in result.stderr


def test_what_auto_stands_for_is_settled_before_models_are_trained() -> None:
    train = load_params(ROOT / "params.yaml").train.model_copy(update={"precision": "auto"})
    recipe = classifier_recipe(train, 0, scratch=True)
    assert recipe.config.precision == recipe.params["train.precision"] == resolved("auto", CPU)
    assert resolved("auto", CPU) in ("fp32", "bf16")


def test_views_and_calibration_reach_all_models(restored: Path) -> None:
    plain = np.load(restored / "outputs/signals/logits.npy")
    changes: dict[str, object] = {
        "calibration.method": "temperature",
        "calibration.temperature": 2.0,
        "predict.views": ["flip", "plain"],
    }
    set_params(restored, changes)
    for stage in (["calibrate", "target"], ["predict", "target"], ["predict_references"]):
        run(restored, "python", "src/stage.py", *stage)
    found = np.load(restored / "outputs/signals/logits.npy")
    assert found.shape == (*plain.shape[:2], 2, plain.shape[2])
    np.testing.assert_allclose(found[:, :, 1], plain / 2, rtol=1e-3, atol=1e-3)
    assert not np.allclose(found[:, :, 0], found[:, :, 1])
    run(restored, "python", "src/stage.py", "attack")


def test_without_references_the_other_attacks_are_left(restored: Path) -> None:
    set_params(restored, {"references.count": 0})
    refused = run(restored, "python", "src/stage.py", "train_references", code=2).stderr
    assert "attack.methods: 'difficulty' compares the target with reference models" in refused
    set_params(restored, {"attack.methods": ["threshold", "entropy", "salem", "loss"]})
    for stage in ("train_references", "predict_references", "attack"):
        run(restored, "python", "src/stage.py", stage)
    ranking = ranking_entries(read_results(restored / "metrics/results.csv"))
    assert set(ranking) == {"threshold", "entropy", "salem", "loss"}
    assert len(np.load(restored / "outputs/signals/logits.npy")) == 1
