"""The parts of a study that need no DVC: its grid, its tables, its clock."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import ROOT, STAGES
from trustmia.commands.study import study
from trustmia.errors import UserError
from trustmia.params import Params, load_params
from trustmia.study import queue
from trustmia.study.grid import BEHIND_TRAINING, Experiment, load_grid, waiting
from trustmia.study.progress import Clock, current_stage, duration, log_end
from trustmia.study.queue import Task
from trustmia.study.running import _StudyRun
from trustmia.study.store import read_study, write_study
from trustmia.study.tables import COLUMNS, EXPERIMENT_COLUMNS, run_tables, thinned

PARAMS = ROOT / "params.yaml"
GOOD: dict[str, Any] = {"variants": {"standard": {}}, "seeds": [1], "targets": ["attack"]}


def grid_file(folder: Path, content: object) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_the_default_study_is_the_published_one() -> None:
    grid = load_grid(ROOT / "studies" / "default.yaml", PARAMS)
    names = [experiment.name for experiment in grid.experiments]
    assert len(names) == 18 and names[:3] == [
        "standard-s42",
        "label_smoothing-s42",
        "weight_decay-s42",
    ]
    (ten,) = [e for e in grid.experiments if e.name == "temperature_10-s44"]
    assert ten.params.calibration.temperature == 10 and ten.seed == 44
    assert set(ten.overrides) >= {"seed=44", "calibration.temperature=10.0"}
    standard = next(iter(grid.experiments))
    assert standard.params.model_dump()["train"] == ten.params.model_dump()["train"]


def test_values_are_written_as_dvc_reads_them(tmp_path: Path) -> None:
    changes = {
        "image_sets.nonmember_sets": ["original", "fake"],
        "image_sets.max_fakes": None,
        "train.initial_weights": "resnet50-0676ba61.pth",
        "train.lr": 1e-5,
    }
    path = grid_file(tmp_path, GOOD | {"variants": {"one": changes}})
    (one,) = load_grid(path, PARAMS).experiments
    assert one.overrides == (
        "seed=1",
        "image_sets.nonmember_sets=[original,fake]",
        "image_sets.max_fakes=null",
        "train.initial_weights='resnet50-0676ba61.pth'",
        "train.lr=1e-05",
    )


def test_the_default_run_is_the_first_of_the_study_and_trains_references_alike() -> None:
    params = load_params(PARAMS)
    assert load_grid(ROOT / "studies" / "default.yaml", PARAMS).experiments[0].params == params
    assert params.references.epochs is None
    assert params.train.precision == params.predict.precision == params.generate.precision == "fp32"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], ["variants, seeds, targets"]),
        (GOOD | {"repeats": 3}, ["repeats", "unknown key", "variants, seeds, targets"]),
        ({"variants": {"a": {}}, "seeds": [1]}, ["targets", "missing"]),
        (GOOD | {"seeds": []}, ["seeds", "at least one"]),
        (GOOD | {"seeds": ["x"]}, ["seeds.0", "'x'", "whole number"]),
        (GOOD | {"seeds": [1, 1]}, ["standard-s1", "leave one out"]),
        (GOOD | {"variants": {"a/b": {}}}, ["a/b", "letters, digits"]),
        (GOOD | {"variants": {"a": {"seed": 3}}}, ["variant a", "seed", "take it out"]),
        (GOOD | {"variants": {"a": {"train.momentum": 1}}}, ["variant a", "train.momentum"]),
        (GOOD | {"variants": {"a": {"train.lr": -1}}}, ["variant a", "train.lr", "-1"]),
        (
            GOOD | {"variants": {"a": {"train": {"lr": 0.1}}}},
            ["variant a", "train is a section", "train.lr"],
        ),
        (GOOD | {"variants": {"a": {"seed.x": 1}}}, ["variant a", "seed.x"]),
        (GOOD | {"variants": {"a": {}, "b": {"train.weight_decay": 0.0}}}, ["b-s1", "a-s1"]),
        (
            GOOD | {"variants": {"a": {"train.weight_decay": float("nan")}}},
            ["train.weight_decay", "finite"],
        ),
    ],
)
def test_a_bad_grid_is_refused_in_one_line(
    tmp_path: Path, content: object, words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        load_grid(grid_file(tmp_path, content), PARAMS)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/grid.yaml: ")
    assert all(word in message for word in words), message


def test_a_grid_that_is_not_there_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not found; studies/default\.yaml"):
        load_grid(tmp_path / "none.yaml", PARAMS)
    (tmp_path / "bad.yaml").write_text("variants: {")
    with pytest.raises(UserError, match="not valid YAML"):
        load_grid(tmp_path / "bad.yaml", PARAMS)


def experiment(variant: int, seed: int, decay: float, k: int) -> Experiment:
    base = load_params(PARAMS)
    train = base.train.model_copy(update={"weight_decay": decay})
    salem = base.attack.settings()["salem"].model_copy(update={"k": k})
    attack = base.attack.model_copy(update={"salem": salem})
    params = base.model_copy(update={"seed": seed, "train": train, "attack": attack})
    return Experiment(f"v{variant}", params, ())


CHOICES = list(itertools.product([1, 2], [0.0, 0.1, 0.2], [2, 3, 4]))
EXPERIMENTS = [experiment(i, *choice) for i, choice in enumerate(CHOICES)]


@given(st.lists(st.sampled_from(EXPERIMENTS), min_size=1, unique_by=lambda e: e.name))
def test_two_experiments_never_train_the_same_at_once(chosen: list[Experiment]) -> None:
    waits = waiting(chosen)
    for late, experiment in enumerate(chosen):
        earlier = chosen[:late]
        assert waits[experiment.name] <= {e.name for e in earlier}, "nothing waits forever"
        assert all(e.seed == experiment.seed for e in earlier if e.name in waits[experiment.name])
        decay = experiment.params.train.weight_decay
        alike = [
            e for e in earlier if (e.seed, e.params.train.weight_decay) == (experiment.seed, decay)
        ]
        assert not alike or alike[0].name in waits[experiment.name]


def test_no_training_depends_on_the_sections_behind_training() -> None:
    stages = [stage for name, stage in STAGES.items() if name.startswith("train")]
    decisive = {key.split(".")[0] for stage in stages for key in stage["params"]}
    assert set(Params.model_fields) - decisive == BEHIND_TRAINING


RESULTS = """attack,set,metric,value,low,high,n
threshold,,threshold,0.9,,,
threshold,original,fpr,0.8,0.78,0.82,100
threshold,original,precision,0.5,,,200
threshold,original,paper_auroc,0.56,,,200
threshold,original,recall,0.9,,,100
threshold,original,advantage,0.1,,,200
threshold,original,paper_aupr,0.6,,,200
threshold,original,ties,3,,,100
threshold,original,auroc,0.6,,,200
threshold,original,balanced_accuracy,0.55,,,200
threshold,fake,paper_auroc,0.7,0.6,0.8,200
lira_offline,original,auroc,0.7,0.68,0.72,200
lira_offline,original,balanced_accuracy,0.6,0.58,0.62,200
lira_offline,original,tpr_at_1pct_fpr,0.05,,,200
lira_offline,original,tpr_at_1pct_fpr_realised,0.0096,,,100
lira_offline,original,tpr_at_0.1pct_fpr,,,,200
lira_offline,original,tpr_at_0.1pct_fpr_realised,,,,100
lira_offline,fake,fpr_at_1pct,0.3,0.28,0.32,100
lira_offline,fake,fpr_at_5pct,,,,100
"""
FILES: dict[str, bytes] = {
    "metrics/results.csv": RESULTS.encode(),
    "metrics/score_distances.json": b'{"members": {"fake": 0.1}}',
    "plots/roc/threshold.csv": b"set,fpr,tpr\noriginal,0,0\noriginal,1,1\npatches,0,1\n",
    "plots/roc/lira_offline.csv": b"set,fpr,tpr\noriginal,0,0.5\n",
    "plots/tsne.csv": b"x,y,set,label\n1,2,members,None\n",
}


def reader(contents: dict[str, bytes]) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        if path not in contents:
            raise FileNotFoundError(path)
        return contents[path]

    return read


def test_tables_of_a_run() -> None:
    tables = run_tables(reader(FILES))
    attacks = tables["attacks"].set_index(["attack", "set", "metric"])
    assert attacks.loc[("threshold", "original", "fpr"), ["value", "low", "high"]].tolist() == [
        0.8,
        0.78,
        0.82,
    ]
    assert list(attacks.loc[("lira_offline", "fake", "fpr_at_1pct")]) == [0.3, 0.28, 0.32]
    assert list(attacks.loc[("lira_offline", "original", "auroc")]) == [0.7, 0.68, 0.72]
    told = attacks["value"]
    for metric in ("tpr_at_0.1pct_fpr", "tpr_at_0.1pct_fpr_realised"):
        assert np.isnan(told["lira_offline", "original", metric]), "what cannot be had is no 0"
    assert np.isnan(told["lira_offline", "fake", "fpr_at_5pct"])
    assert told["lira_offline", "original", "tpr_at_1pct_fpr_realised"] == 0.0096
    assert attacks.index.is_unique
    assert told["threshold", "original", "auroc"] == 0.6, "the ranking's"
    assert told["threshold", "original", "advantage"] == 0.1
    assert list(attacks.loc[("threshold", "fake", "auroc")]) == [0.7, 0.6, 0.8], "the paper's"
    assert set(attacks.index.get_level_values("metric")).isdisjoint({"aupr", "ties", "threshold"})
    assert list(tables["roc"]["attack"]) == ["threshold"] * 2 + ["lira_offline"]
    assert tables["embedding"]["label"].tolist() == ["None"]
    assert len(tables["distances"]) == 1


def test_missing_files_give_empty_tables_with_their_columns() -> None:
    for name, table in run_tables(reader({})).items():
        assert table.empty and list(table) == list(COLUMNS[name])


def test_pictures_survive_the_gallery() -> None:
    row = {"set": "fake", "rank": 0, "score": 0.9, "predicted": "Bag", "true": "", "png": b"\x89"}
    stream = io.BytesIO()
    pd.DataFrame([row]).to_parquet(stream)
    tables = run_tables(reader({"outputs/gallery/gallery.parquet": stream.getvalue()}))
    assert tables["gallery"].to_dict("records") == [row]


@given(st.integers(1, 2000), st.integers(2, 300))
def test_thinned_curves_keep_their_ends(length: int, points: int) -> None:
    curve = pd.DataFrame({"fpr": np.arange(length)})
    short = thinned(curve, points)
    assert len(short) == min(length, points)
    assert short["fpr"].iloc[0] == 0 and short["fpr"].iloc[-1] == length - 1
    assert short["fpr"].is_monotonic_increasing


def study_tables() -> dict[str, pd.DataFrame]:
    key = {"experiment": "standard-s1", "variant": "standard", "seed": 1}
    experiments = pd.DataFrame([key | {"rev": "abc", "changes": "{}"}])
    tables = {"experiments": experiments.astype(EXPERIMENT_COLUMNS)}
    for name, table in run_tables(reader(FILES)).items():
        labelled = table.assign(**key).astype(EXPERIMENT_COLUMNS)
        tables[name] = labelled[[*key, *table.columns]]
    return tables


def test_a_study_is_read_as_written(tmp_path: Path) -> None:
    tables = study_tables()
    write_study(tmp_path / "study", tables)
    for name, table in read_study(tmp_path / "study").items():
        pd.testing.assert_frame_equal(table, tables[name])
    first = {p.name: p.read_bytes() for p in (tmp_path / "study").iterdir()}
    write_study(tmp_path / "study", tables)
    assert {p.name: p.read_bytes() for p in (tmp_path / "study").iterdir()} == first


def test_a_study_that_is_not_there_or_spoilt(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make study"):
        read_study(tmp_path / "study")
    write_study(tmp_path / "study", study_tables())
    roc = tmp_path / "study" / "roc.parquet"
    roc.write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"roc\.parquet: not readable"):
        read_study(tmp_path / "study")
    pd.DataFrame({"fpr": [1.0]}).to_parquet(roc)
    with pytest.raises(UserError, match="has no column experiment"):
        read_study(tmp_path / "study")
    roc.unlink()
    with pytest.raises(UserError, match=r"roc\.parquet: not found"):
        read_study(tmp_path / "study")


def test_the_clock_tells_trainings_from_others() -> None:
    time = 0.0
    clock = Clock({"a": True, "b": True, "c": False, "d": False}, jobs=1, now=lambda: time)
    assert clock.left(["a", "b", "c", "d"]) is None
    clock.start("a")
    time = 100.0
    assert clock.end("a") == 100
    assert clock.left(["b", "c", "d"]) == 300, "nothing is known of the others yet"
    clock.start("c")
    time = 110.0
    clock.end("c")
    clock.start("b")
    time = 140.0
    assert clock.left(["b", "d"]) == 70 + 10
    clock.forget("b")
    assert clock.end("b") is None
    assert [duration(s) for s in (89, 91, 6000)] == ["89 s", "2 min", "1.7 h"]


def test_stages_and_failures_are_read_from_logs() -> None:
    assert current_stage("") is None and "no output" in log_end("")
    lines = [f"line {i}" for i in range(30)]
    log = "\n".join(["Running stage 'split':", *lines, "Running stage 'train@target':"])
    assert current_stage(log) == "train@target"
    log += "\nStage 'calibrate@target' is cached - skipping"
    assert current_stage(log) == "calibrate@target"
    assert log_end(log).count("\n") == 14 and log_end(log).startswith("    line 17")


STATUS = """Task     Name                Created       Status
753b005  standard-s42        04:01 PM      Running
1234567                      Nov 24, 2026  Queued
0bbb118  weight_decay-s42-x  04:01 PM      Failed

Worker status: 1 active, 2 idle
"""


def test_the_queue_is_read_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    def status_of(printed: str) -> tuple[list[Task], int]:
        monkeypatch.setattr(queue, "call", lambda *arguments: printed)
        return queue.status()

    running, queued = Task("standard-s42", "753b005", "Running"), Task("", "1234567", "Queued")
    failed = Task("weight_decay-s42-x", "0bbb118", "Failed")
    assert status_of(STATUS) == ([running, queued, failed], 3)
    empty = "No experiment tasks in the queue.\n\nWorker status: 0 active, 0 idle\n"
    assert status_of(empty) == ([], 0)
    for other in ("", STATUS.replace("Name", "Title"), STATUS.replace("Worker", "Workers")):
        with pytest.raises(UserError, match="no table as DVC 3 prints it"):
            status_of(other)


def test_what_is_queued_is_taken_over_where_it_is_the_studys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = load_grid(grid_file(tmp_path, GOOD), PARAMS)
    repository = Mock(**{"head.return_value": "abc", "finished.return_value": []})
    task = Task("standard-s1", "753b005", "Queued")
    monkeypatch.setattr(queue, "status", lambda: ([task], 0))
    params = grid.experiments[0].params.model_dump()
    told: list[str] = []

    def prepare(params_of_tasks: dict[str, dict[str, Any]]) -> None:
        monkeypatch.setattr(queue, "params_of_tasks", lambda commit: params_of_tasks)
        told.clear()
        _StudyRun(grid, repository, 1, told.append).prepare()

    prepare({"753b005f": params})
    assert told == ["1 experiments: 0 done before, 1 queued before, 0 to queue"]
    prepare({"f753b005": params})
    assert told[0] == "1 experiments: 0 done before, 0 queued before, 1 to queue"
    assert told[1].endswith("others, which its workers run, too: standard-s1"), "another commit's"
    with pytest.raises(UserError, match=r"has 1; rename .* `dvc queue remove standard-s1`"):
        prepare({"753b005f": params | {"seed": 2}})


def test_no_jobs_are_refused() -> None:
    with pytest.raises(UserError, match="--jobs: got 0"):
        study(ROOT / "studies" / "default.yaml", 0, Path("study"), print)
