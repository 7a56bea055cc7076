"""Whose code and parameters a result is filed under, where another package is installed."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT, environment, git, run, set_params

pytestmark = pytest.mark.pipeline
TRAINING = Path("src/trustmia/classifiers/training.py")
STEP = "Adam(parameters, config.lr,"
CHANCE = 0.25


def foreign(repository: Path) -> dict[str, str]:
    """Return an environment whose package is another folder's, as after `make run` elsewhere."""
    return environment(repository, fast=True) | {"PYTHONPATH": str(ROOT / "src")}


def learn_nothing(repository: Path) -> None:
    path = repository / TRAINING
    text = path.read_text(encoding="utf-8")
    assert STEP in text
    path.write_text(text.replace(STEP, f"{STEP[:-1]} * 0,"), encoding="utf-8")


def of_experiment(repository: Path, name: str) -> float:
    references = git(repository, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (reference,) = (r for r in references if r.endswith(f"/{name}"))
    return accuracy(git(repository, "show", f"{reference}:metrics/train_target.json"))


def here(repository: Path) -> float:
    return accuracy((repository / "metrics/train_target.json").read_text(encoding="utf-8"))


def accuracy(content: str) -> float:
    found: float = json.loads(content)["test"]["accuracy"]
    return found


def train(repository: Path) -> float:
    """Train the target where another folder's package is installed; return its accuracy."""
    own = foreign(repository)
    run(repository, "dvc", "repro", "--single-item", "train@target", own=own)
    return here(repository)


def run_queue(repository: Path, name: str) -> None:
    own = foreign(repository)
    run(repository, "dvc", "queue", "start", own=own)
    for _ in range(240):
        rows = run(repository, "dvc", "queue", "status", own=own).stdout.splitlines()
        state = next(row for row in rows if name in row)
        if state.endswith(("Success", "Failed")):
            break
        time.sleep(0.5)
    assert state.endswith("Success"), run(repository, "dvc", "queue", "logs", name).stdout
    run(repository, "dvc", "queue", "remove", "--success")


def test_a_queued_experiment_runs_its_own_code(restored: Path) -> None:
    committed = here(restored)
    learn_nothing(restored)
    run(restored, "dvc", "exp", "run", "--queue", "--name", "nothing", "train@target")
    git(restored, "restore", ".")
    run_queue(restored, "nothing")
    assert of_experiment(restored, "nothing") < CHANCE < committed
    # The run cache has it under this code, and the committed result under the committed code.
    learn_nothing(restored)
    assert train(restored) < CHANCE
    git(restored, "restore", "src")
    assert train(restored) == committed


def test_an_experiment_in_a_copy_runs_its_own_code_and_brings_it_along(restored: Path) -> None:
    committed = here(restored)
    learn_nothing(restored)
    own = foreign(restored)
    run(restored, "dvc", "exp", "run", "--temp", "--name", "applied", "train@target", own=own)
    assert of_experiment(restored, "applied") < CHANCE
    git(restored, "restore", ".")
    run(restored, "dvc", "exp", "apply", "applied", own=own)
    assert here(restored) < CHANCE < committed
    assert "* 0" in (restored / TRAINING).read_text(encoding="utf-8")
    assert "train@target" not in run(restored, "dvc", "status", "train@target", own=own).stdout


@pytest.fixture(params=["worktree", "copy"])
def elsewhere(restored: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    other = tmp_path / "a folder elsewhere"
    if request.param == "worktree":
        git(restored, "worktree", "add", "--quiet", "--detach", str(other))
        run(other, "dvc", "cache", "dir", "--local", str(restored / ".dvc" / "cache"))
        run(other, "dvc", "checkout")
        yield other
        git(restored, "worktree", "remove", "--force", str(other))
    else:
        shutil.copytree(restored, other, symlinks=True)
        yield other


def test_a_worktree_and_a_copy_run_their_own_code(restored: Path, elsewhere: Path) -> None:
    committed = here(restored)
    learn_nothing(elsewhere)
    assert train(elsewhere) < CHANCE < committed == here(restored)


def test_a_stage_refuses_code_of_another_folder(restored: Path) -> None:
    before = (restored / "metrics/attack.json").read_bytes()
    command = ["python", str(ROOT / "src" / "stage.py"), "attack"]
    refused = run(restored, *command, code=2, own=foreign(restored)).stderr
    assert refused.count("\n") == 1
    assert str(ROOT / "src") in refused and "python src/stage.py attack" in refused
    assert (restored / "metrics/attack.json").read_bytes() == before


def test_what_was_edited_while_a_stage_starts_is_not_filed(restored: Path) -> None:
    # A sitecustomize that waits stands for imports that take long.
    (restored / "slow").mkdir()
    (restored / "slow/numpy.py").write_text(
        "import pathlib, sys, time\n"
        "pathlib.Path('started').touch()\n"
        "while not pathlib.Path('edited').exists(): time.sleep(0.01)\n"
        "sys.path.remove(str(pathlib.Path('slow').resolve())); del sys.modules['numpy']\n"
        "import numpy\n"
    )
    own = environment(restored) | {"PYTHONPATH": str(restored / "slow")}
    command = ["python", "src/stage.py", "describe_scores"]
    process = subprocess.Popen(command, cwd=restored, env=own, stderr=subprocess.PIPE, text=True)
    while not (restored / "started").exists():
        assert process.poll() is None
        time.sleep(0.01)
    code = restored / "src/trustmia/program.py"
    code.write_text(code.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    (restored / "edited").touch()
    said = process.communicate()[1]
    for name in ("started", "edited", "slow/numpy.py"):
        (restored / name).unlink()
    assert process.returncode == 2 and "program.py was changed while this ran" in said


def edit_while_training(repository: Path, path: str, old: str, new: str) -> tuple[int, str]:
    """Edit a file while the target trains; return the stage's exit code and its last line."""
    process = subprocess.Popen(
        ["dvc", "repro", "--single-item", "--force", "train@target"],
        cwd=repository,
        env=environment(repository) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "epoch/s" not in said and "s/epoch" not in said:
        part = os.read(process.stderr.fileno(), 4096).decode()
        assert part, said
        said += part
    file = repository / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    said += process.communicate()[1]
    return process.returncode, said


@pytest.mark.parametrize(
    ("path", "old", "new", "name"),
    [
        (str(TRAINING), STEP, f"{STEP[:-1]} * 2,", "training.py"),
        ("params.yaml", "  lr: 0.001", "  lr: 0.002", "train.lr"),
        # The stage does not depend on these.
        ("src/trustmia/measures/table.py", '"""The one', '"""The only', None),
        ("params.yaml", "    k: 3", "    k: 2", None),
    ],
)
def test_what_was_edited_meanwhile_is_not_filed(
    restored: Path, path: str, old: str, new: str, name: str | None
) -> None:
    set_params(restored, {"train.epochs": 10})
    lock = (restored / "dvc.lock").read_bytes()
    code, said = edit_while_training(restored, path, old, new)
    assert (code != 0) == (f"{name} was changed while this ran" in said) == bool(name), said
    assert ((restored / "dvc.lock").read_bytes() == lock) == bool(name)


def weights(repository: Path, stage: str, folder: str, threads: str) -> dict[str, bytes]:
    own = environment(repository) | {"OMP_NUM_THREADS": threads}
    run(repository, "python", "src/stage.py", *stage.split(), own=own)
    return {path.name: path.read_bytes() for path in (repository / folder).iterdir()}


def test_the_threads_are_those_of_the_parameters_whatever_the_environment(restored: Path) -> None:
    set_params(restored, {"threads": 2})
    one, two = (weights(restored, "train target", "outputs/classifiers/target", n) for n in "12")
    assert one == two
    assert json.loads(one["model.json"])["threads"] == 2


def test_reference_models_do_not_depend_on_who_trains_them(restored: Path) -> None:
    found = []
    for parallel in ("processes", "none"):
        set_params(restored, {"references.parallel": parallel})
        found.append(weights(restored, "train_references", "outputs/references", "2"))
    assert found[0] == found[1]
    assert json.loads(found[0]["model_0000.json"])["threads"] == 1
