"""`trustmia study` on a tiny repository, with DVC's own queue."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import documented, git
from tests.study.tiny_repository import (
    VARIANTS,
    TinyRepository,
    make_tiny_repository,
    tiny_environment,
)
from trustmia.commands.study import study
from trustmia.errors import UserError
from trustmia.study.store import read_study

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyRepository]:
    made = make_tiny_repository(tmp_path_factory.mktemp("study"))
    yield made
    stop(made)


@pytest.fixture(scope="module")
def printed(tiny: TinyRepository) -> list[str]:
    """Return what a study told while trainings with weight decay failed, and its error."""
    tiny.switch("broken", on=True)
    tiny.switch("hold", on=True)
    messages: list[str] = []

    def say(message: str) -> None:
        messages.append(message)
        if message.endswith("standard-s43: train"):
            tiny.switch("hold", on=False)

    with pytest.raises(UserError) as caught:
        run_study(tiny, say)
    tiny.switch("broken", on=False)
    return ["\n".join(messages), str(caught.value)]


def run_study(
    tiny: TinyRepository, say: Callable[[str], None], jobs: int = 1, out: Path = Path("study")
) -> None:
    """Run a study in this process, which has loaded everything already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tiny.root)
        for name, value in tiny_environment(tiny.root).items():
            patch.setenv(name, value)
        study(Path("studies/default.yaml"), jobs, out, say)


def told(tiny: TinyRepository, jobs: int = 1) -> str:
    messages: list[str] = []
    run_study(tiny, messages.append, jobs)
    return "\n".join(messages)


def stop(tiny: TinyRepository) -> None:
    (tiny.beside / "hold").unlink(missing_ok=True)
    tiny.run("dvc", "queue", "stop", "--kill")


def test_a_failure_is_reported_and_stops_nothing_else(
    tiny: TinyRepository, printed: list[str]
) -> None:
    output, errors = printed
    assert "3 experiments: 0 done before, 0 queued before, 3 to queue" in output
    assert "weight_decay-s43: failed" in output and "    the loss is not finite" in output
    assert "dvc queue logs weight_decay-s43" in output
    assert re.search(r"\[1/3, about \d+ s left\] standard-s43: done in \d+ s", output)
    assert "1 of 3 experiments failed: weight_decay-s43" in errors and "\n" not in errors
    assert tiny.names() == ["standard-s43", "temperature_10-s43"]
    collected = read_study(tiny.root / "study")["experiments"]["experiment"]
    assert list(collected) == ["standard-s43", "temperature_10-s43"]


def test_variants_share_trainings(tiny: TinyRepository, printed: list[str]) -> None:
    assert tiny.trainings() == ["43 0.0", "43 0.001"]


def test_running_again_runs_what_is_missing(tiny: TinyRepository, printed: list[str]) -> None:
    before = tiny.trainings()
    tiny.switch("hold", on=True)
    run = start_study(tiny)
    wait_for_trainings(tiny, run, len(before) + 1)
    kill_workers(tiny)
    tiny.switch("hold", on=False)
    # DVC calls it running until it happens to look.
    assert tiny.queue()["weight_decay-s43"] in ("Running", "Failed")
    again, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert "3 experiments: 2 done before, 0 queued before, 1 to queue" in again
    assert "standard" not in again and "`dvc add study`" in again
    assert tiny.trainings()[len(before) :] == ["43 0.001"] * 2
    assert "Failed" not in tiny.queue().values()
    tables = read_study(tiny.root / "study")
    experiments = tables["experiments"].set_index("experiment")
    assert len(experiments) == 3
    assert json.loads(experiments.loc["weight_decay-s43", "changes"]) == {
        "seed": 43,
        "train.weight_decay": 0.001,
    }
    for name in ("models", "attacks", "roc", "gallery"):
        assert set(tables[name]["experiment"]) == set(experiments.index), name
    assert tables["density"].empty and list(tables["density"])[:3] == [
        "experiment",
        "variant",
        "seed",
    ]
    assert "3 done before, 0 queued before, 0 to queue" in told(tiny)


def test_experiments_are_dvc_experiments(tiny: TinyRepository, printed: list[str]) -> None:
    tiny.run("dvc", "exp", "apply", "temperature_10-s43")
    assert "seed: 43" in (tiny.root / "params.yaml").read_text()
    assert (tiny.root / "outputs/gallery/gallery.parquet").is_file()
    git(tiny.root, "reset", "--quiet", "--hard")


def test_another_experiment_of_that_name_is_not_taken(
    tiny: TinyRepository, printed: list[str]
) -> None:
    tiny.write_grid({"temperature_10": {"calibration.method": "llla"}}, [43])
    with pytest.raises(UserError) as caught:
        told(tiny)
    git(tiny.root, "checkout", "--quiet", "studies")
    message = str(caught.value)
    assert "temperature_10-s43: exists with calibration.method=temperature" in message
    assert "the study has llla" in message
    assert "dvc exp remove temperature_10-s43" in message


def start_study(tiny: TinyRepository, *options: str) -> "subprocess.Popen[str]":
    # Whoever runs the suite in the background ignores interrupts, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        ["trustmia", "study", *options],
        cwd=tiny.root,
        env=tiny_environment(tiny.root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_trainings(tiny: TinyRepository, run: "subprocess.Popen[str]", count: int) -> None:
    deadline = time.monotonic() + 120
    while len(tiny.trainings()) < count:
        assert time.monotonic() < deadline and run.poll() is None, run.communicate()
        time.sleep(0.1)


def processes_of(tiny: TinyRepository) -> dict[int, str]:
    """Return the commands of processes that work in the repository or its copies."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(tiny.root) in str((process / "cwd").readlink()):
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def kill_workers(tiny: TinyRepository) -> None:
    """Let everything that DVC started vanish, as at a reboot."""
    (worker,) = [pid for pid, command in processes_of(tiny).items() if "queue-worker" in command]
    os.killpg(os.getpgid(worker), signal.SIGKILL)


def test_an_interrupted_study_goes_on(tmp_path: Path) -> None:
    tiny = make_tiny_repository(tmp_path)
    tiny.write_grid({name: VARIANTS[name] for name in ("standard", "temperature_10")}, [42, 43])
    tiny.switch("hold", on=True)
    try:
        interrupt_while_training(tiny)
        deadline = time.monotonic() + 60
        while processes_of(tiny):
            assert time.monotonic() < deadline, processes_of(tiny)
            time.sleep(0.1)
        states = tiny.queue()
        assert "Running" not in states.values() and states["somebody-else"] == "Queued"
        assert "Failed" in states.values() and tiny.names() == []
        tiny.switch("hold", on=False)
        before = tiny.trainings()
        again = told(tiny, jobs=2)
    finally:
        stop(tiny)
    assert "DVC's queue holds others, which its workers run, too: somebody-else" in again
    assert "somebody-else" in tiny.names() and len(tiny.names()) == 5
    started = Counter(tiny.trainings()[len(before) :])
    assert started == {"1 0.0": 1, "42 0.0": 1, "43 0.0": 1}, "two workers share trainings, too"


def interrupt_while_training(tiny: TinyRepository) -> None:
    started = start_study(tiny, "--jobs", "2")
    wait_for_trainings(tiny, started, 2)
    tiny.run("dvc", "exp", "run", "--queue", "-n", "somebody-else", "-S", "seed=1", "attack")
    os.killpg(started.pid, signal.SIGINT)
    output, errors = started.communicate(timeout=120)
    assert started.returncode == 130, errors
    assert "stopping DVC's workers" in output and errors == "trustmia: interrupted\n"


def test_tables_leave_out_what_an_experiment_did_not_run(tmp_path: Path) -> None:
    tiny = make_tiny_repository(tmp_path)
    tiny.run("dvc", "repro", "attack")
    tiny.write_grid({"standard": {}}, [43, 44])
    git(tiny.root, "add", "--all")
    git(tiny.root, "commit", "--quiet", "--message", "A run")
    tiny.run("dvc", "exp", "run", "-n", "standard-s43", "-S", "seed=43", "train")
    git(tiny.root, "reset", "--quiet", "--hard")
    tiny.run("dvc", "exp", "run", "-n", "standard-s44", "-S", "seed=44", "attack")
    out = Path("../my tables")
    messages: list[str] = []
    run_study(tiny, messages.append, out=out)
    assert "not run for them: standard-s43 (attack); add them to `targets`" in messages[-2]
    assert messages[-1].startswith("../my tables is outside the repository")
    assert "dvc add" not in messages[-1]
    tables = read_study(tiny.root / out)
    assert tables["models"].groupby("seed")["metric"].agg(list)[43] == [
        "train_accuracy",
        "test_accuracy",
    ]
    for name in ("attacks", "roc", "gallery"):
        assert set(tables[name]["seed"]) == {44}, name
    run_study(tiny, messages.append, out=Path("my tables"))
    found = re.fullmatch(r"Next: `(.*)` versions the tables", messages[-1])
    assert found
    tiny.run(*shlex.split(found[1]))
    assert (tiny.root / "my tables.dvc").is_file()


def test_documented_commands_work_as_printed(
    tiny: TinyRepository, printed: list[str], tmp_path: Path
) -> None:
    git(tiny.root, "init", "--quiet", "--bare", str(tmp_path / "origin"))
    git(tiny.root, "remote", "add", "origin", str(tmp_path / "origin"))
    git(tiny.root, "push", "--quiet", "origin", "main")
    studies = tiny.root / "studies"
    shutil.copy(studies / "default.yaml", studies / "mine.yaml")
    commands = documented("docs/study.md", "study")
    outputs = {command: tiny.run(*command.split()).stdout for command in commands}
    assert "[temperature_10-s43]" in outputs["dvc exp show --no-pager --only-changed"]
    assert "Reproducing" in outputs["dvc queue logs standard-s43"]
    assert "standard" in git(tiny.root, "branch", "--list", "standard")
    assert "temperature_10-s43" in git(tmp_path / "origin", "for-each-ref", "refs/exps")
    assert "temperature_10-s43" not in tiny.names()
    assert (tiny.root / "study.dvc").is_file()
    assert "standard-s43" in outputs["trustmia compare"]
    assert "| experiment" in (tiny.root / "comparison.md").read_text()
