"""Whether files are results of what is there now: the same as DVC finds, and what is told."""

import contextlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.helpers import git, run
from tests.study.tiny_repository import make_tiny_repository
from trustmia import cli
from trustmia.commands.export_models import export_models
from trustmia.errors import UserError
from trustmia.freshness import Lock, parse_lock, require_tracked
from trustmia.report import readme
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.study.repository import open_repository
from trustmia.yaml_files import parse_yaml

pytestmark = pytest.mark.pipeline
PIPELINE: dict[str, Any] = {
    "prepare": {
        "cmd": "mkdir -p outputs && cat data/a/b > outputs/images",
        "deps": ["data", "code/prepare.py"],
        "outs": ["outputs/images"],
    },
    "train": {
        "foreach": ["target", "shadow"],
        "do": {
            "cmd": "cat outputs/images models/start/w params.yaml > metrics/train_${item}.json",
            "deps": ["outputs/images", "models/start", "code/rooms", "code/${item}.py"],
            "params": ["seed", "train", "attack.k"],
            "metrics": [{"metrics/train_${item}.json": {"cache": False}}],
        },
    },
    "attack": {
        "cmd": "mkdir -p plots && cat metrics/*.json > plots/roc.csv && cp params.yaml metrics/a",
        "deps": ["metrics/train_target.json", "code/attack.py"],
        "params": [{"params.yaml": None}, {"other.yaml": ["lr"]}],
        "outs": ["plots", {"metrics/a": {"cache": False}}],
    },
}
PARAMS: dict[str, Any] = {
    "seed": 1,
    "train": {"lr": 0.001, "more": {"x": [1, 2]}},
    "attack": {"k": 3, "j": 1.0},
}
# What each stage writes, and the stages that come after it.
WRITTEN = {
    "prepare": "outputs/images",
    "train@target": "metrics/train_target.json",
    "train@shadow": "metrics/train_shadow.json",
    "attack": "plots/roc.csv",
}
BEHIND = {"prepare": ["train@target", "train@shadow", "attack"], "train@target": ["attack"]}


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def set_stage(stage: str, key: str, value: object) -> None:
    content = yaml.safe_load(Path("dvc.yaml").read_text())
    content["stages"][stage].get("do", content["stages"][stage])[key] = value
    write("dvc.yaml", yaml.safe_dump(content, sort_keys=False))


def set_param(section: str, value: object) -> None:
    write("params.yaml", yaml.safe_dump(PARAMS | {section: value}))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository whose pipeline has run."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        git(place, "init", "--quiet")
        run(place, "dvc", "init", "--quiet")
        for name in ("prepare", "target", "shadow", "attack", "rooms/one", "rooms/two"):
            write(f"code/{name}.py", name)
        write("data/a/b", "image")
        write("models/start/w", "weights")
        write("models/other/w", "weights")
        write(".dvcignore", "__pycache__\n*.pyc\n/code/rooms/scratch\n")
        write("dvc.yaml", yaml.safe_dump({"stages": PIPELINE}, sort_keys=False))
        write("other.yaml", "lr: 0.1")
        set_param("seed", 1)
        run(place, "dvc", "add", "data", "models")
        run(place, "mkdir", "metrics")
        run(place, "dvc", "repro")
    return place


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that repository, which is the current folder."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def dvc(*arguments: str) -> None:
    run(Path(), "dvc", *arguments)


# What is done to a repository: functions and their arguments.
CHANGES: dict[str, list[tuple[Any, ...]]] = {
    "nothing": [],
    "a single parameter": [(set_param, "seed", 2)],
    "a small float": [(set_param, "train", PARAMS["train"] | {"lr": 1e-05})],
    "a list": [(set_param, "train", PARAMS["train"] | {"more": {"x": [1, 3]}})],
    "a parameter gone": [(set_param, "train", {"lr": 0.001})],
    "a new parameter": [(set_param, "threads", 2)],
    "one of a section": [(set_param, "attack", {"k": 4, "j": 1.0})],
    "another of it": [(set_param, "attack", {"k": 3, "j": 2.0})],
    "the same, written otherwise": [(set_param, "attack", {"j": 1, "k": 3.0})],
    "a parameter of another file": [(write, "other.yaml", "lr: 0.2")],
    "one that nobody reads": [(write, "other.yaml", "lr: 0.1\nx: 1")],
    "code": [(write, "code/prepare.py", "changed")],
    "code of one of two": [(write, "code/shadow.py", "changed")],
    "code in a folder": [(write, "code/rooms/one.py", "changed")],
    "a file more in it": [(write, "code/rooms/deep/three.py", "new")],
    "a file less in it": [(os.unlink, "code/rooms/one.py")],
    "code gone": [(os.unlink, "code/attack.py")],
    "caches": [
        (write, "code/rooms/__pycache__/one.txt", "x"),
        (write, "code/rooms/one.pyc", "x"),
        (write, "code/rooms/scratch/notes", "x"),
    ],
    "data": [(write, "data/a/c", "another"), (dvc, "add", "data")],
    "models that are used": [(write, "models/start/w", "others"), (dvc, "add", "models")],
    "models that are not": [(write, "models/other/w", "others"), (dvc, "add", "models")],
    "a command": [(set_stage, "prepare", "cmd", "true")],
    "a command of two": [(set_stage, "train", "cmd", "echo ${item}")],
    "a dependency more": [
        (set_stage, "attack", "deps", [*PIPELINE["attack"]["deps"], "code/target.py"])
    ],
    "a dependency less": [
        (set_stage, "prepare", "deps", ["data"]),
        (write, "code/prepare.py", "changed"),
    ],
    "a parameter more": [(set_stage, "prepare", "params", ["seed"])],
    "a stage run alone": [(set_param, "seed", 2), (dvc, "repro", "--single-item", "train@target")],
}


@pytest.mark.parametrize("change", CHANGES)
def test_files_are_old_where_dvc_would_run_their_stage(here: Path, change: str) -> None:
    for function, *arguments in CHANGES[change]:
        function(*arguments)
    status = json.loads(run(Path(), "dvc", "status", "--json").stdout)
    changed = [name for name in status if not name.endswith(".dvc")]
    expected = {stage for name in changed for stage in (name, *BEHIND.get(name, []))}
    lock = Lock()
    assert {s for s, path in WRITTEN.items() if lock.outdated(path)} == expected, status
    # The same of what is committed, in git or in DVC's cache.
    git(Path(), "add", "--all")
    git(Path(), "commit", "--quiet", "--message", change)
    with open_repository() as repository:
        read = repository.files_at(repository.head())
        for path in WRITTEN.values():
            with contextlib.suppress(FileNotFoundError):
                assert read(path) == Path(path).read_bytes()
        assert set(read.outdated) == {path for s, path in WRITTEN.items() if s in expected}


def told(path: str) -> str:
    return str(Lock().outdated(path))


def test_what_changed_and_what_has_not_run_is_told(here: Path) -> None:
    set_param("train", {"lr": 0.01, "more": {"x": [1]}})
    write("code/attack.py", "changed")
    assert told("plots/roc.csv") == (
        "train.lr was 0.001 and is 0.01, train.more.x has changed, code/attack.py has changed; "
        "not run since: train@target, attack"
    )
    for i in range(9):
        set_stage("attack", "deps", [*PIPELINE["attack"]["deps"], *(f"new/{n}" for n in range(9))])
        write(f"new/{i}", "x")
    assert "new/1 has changed, 7 more; not run since: " in told("metrics/a")


def test_files_that_no_run_left_so_are_told(here: Path) -> None:
    write("metrics/train_target.json", "edited")
    assert told("metrics/train_target.json") == (
        "dvc.lock names another metrics/train_target.json; not run since: train@target"
    )
    write("plots/more.csv", "added")
    assert told("plots/roc.csv") == "dvc.lock names another plots; not run since: attack"
    assert told("metrics/elsewhere.json") == "dvc.lock does not name it"
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    del lock["stages"]["train@shadow"]
    write("dvc.lock", yaml.safe_dump(lock))
    assert told("metrics/train_shadow.json") == "dvc.lock does not name it; not run since: train"
    for content in ("<<<<<<< HEAD\nstages: {", "- 1", "stages: 1", ""):
        write("dvc.lock", content)
        assert told("plots/roc.csv") == "dvc.lock does not name it; not run since: attack"


def test_a_clone_without_data_outputs_and_cache_is_current(here: Path) -> None:
    for folder in ("data", "models", "outputs", "plots", ".dvc/cache", ".git"):
        shutil.rmtree(folder)
    assert told("metrics/train_target.json") == told("metrics/a") == "None"


def test_data_that_dvc_tracks_file_by_file_are_not_looked_at(here: Path) -> None:
    dvc("remove", "data.dvc")
    dvc("add", "data/a/b")
    assert told("metrics/train_target.json") == "None"


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")))
    | st.sampled_from(["1e-05", "no", "010", "1:30", ".5", "1_0", "0o7", "2026-01-02", "=", "~"])
)


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner)))
def test_a_lock_is_read_as_dvc_reads_it(content: object) -> None:
    stream = io.StringIO()
    YAML().dump({"params": content}, stream)
    text = stream.getvalue().encode()
    assert parse_lock(text) == parse_yaml(text)


def test_a_generator_is_not_exported_with_the_quality_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("classifiers/target", "classifiers/shadow", "generator", "judge"):
        kind = "generator" if place == "generator" else "classifier"
        weights = Checkpoint({"w": torch.zeros(2)}, {"kind": kind})
        checkpoints.save(Path("outputs", place, "model"), weights)
    write("metrics/generator.json", '{"fake": {"recognised": 0.5}}')
    trained = {"path": "outputs/generator", "md5": "1"}
    judged = trained | {"md5": "0"}
    outs = [{"path": "metrics/generator.json"}]
    stages = {
        "train": {"cmd": "train", "outs": [trained]},
        "judge": {"cmd": "judge", "deps": [judged], "outs": outs},
    }
    declared = {"train": {"cmd": "train"}, "judge": {"cmd": "judge", "deps": ["outputs/generator"]}}
    write("dvc.yaml", json.dumps({"stages": declared}))
    write("dvc.lock", json.dumps({"stages": stages}))
    with pytest.raises(UserError, match=r"generator\.json: older .* not run since: judge"):
        export_models("mine")
    judged["md5"] = "1"
    write("dvc.lock", json.dumps({"stages": stages}))
    export_models("mine")
    card = checkpoints.load_card(Path("models/generator/model"))
    assert card["metrics"] == {"fake": {"recognised": 0.5}}


def test_old_results_are_shown_with_a_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = make_tiny_repository(tmp_path)
    tiny.run("dvc", "repro", "attack")
    monkeypatch.chdir(tiny.root)
    cli.main(["results"])
    current = capsys.readouterr()
    assert "0.750" in current.out and current.err == ""
    params = Path("params.yaml").read_text()
    write("params.yaml", params.replace("seed: 42", "seed: 43"))
    cli.main(["results"])
    shown = capsys.readouterr()
    assert shown.out == current.out
    assert shown.err == (
        "trustmia: metrics/results.csv: older than the present params.yaml, code or data "
        "(seed was 42 and is 43; not run since: train, attack); run `dvc repro`\n"
    )
    write("README.md", "nothing")
    with pytest.raises(
        UserError, match=r"train_target\.json, metrics/calibration_target\.json: older"
    ):
        readme.update(Path("README.md"))
    assert Path("README.md").read_text() == "nothing"
    write("params.yaml", params)
    with pytest.raises(UserError, match=r"README\.md: has no <!-- answer -->"):
        readme.update(Path("README.md"))


def test_a_folder_is_held_against_its_dvc_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "--quiet")
    dvc("init", "--quiet")
    write("study/a", "1")
    write("study/more/b", "2")
    study = Path("study")
    require_tracked(study)
    dvc("add", "study")
    require_tracked(study)
    write("study/more/b", "3")
    with pytest.raises(UserError, match=r"study: not what study\.dvc names; `dvc add"):
        require_tracked(study)


def test_what_dvc_kept_of_a_stage_that_was_several_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stages = {
        name: {"cmd": command, "outs": [{"path": "scores", "md5": "0" * 32}]}
        for name, command in (("predict", "new"), ("predict@target", "old"))
    }
    Path("dvc.yaml").write_text("stages: {predict: {cmd: new, outs: [scores]}}")
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))
    assert Lock().outdated("scores") is None
