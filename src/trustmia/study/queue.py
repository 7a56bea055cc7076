"""DVC's queue by the commands that drive it; where DVC refuses, a UserError has its reason."""

import contextlib
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from trustmia.errors import UserError
from trustmia.study.grid import Experiment

# A stage may take this long to end after an interrupt before it is killed, in seconds.
PATIENCE = 20.0
# Workers move and rewrite what DVC reads to answer.
TRIES = 5
PAUSE = 0.2

HEADER = re.compile(r"^Task +Name +Created +Status *\n", re.M)
EMPTY = "No experiment tasks"
WORKERS = re.compile(r"^Worker status: (\d+) active, (\d+) idle", re.M)


@dataclass(frozen=True)
class Task:
    """An experiment in DVC's queue.

    Attributes:
        name: Name of the experiment; may be empty.
        id: What DVC calls the task: how its revision begins.
        status: `Queued`, `Running`, `Failed` or `Success`.
    """

    name: str
    id: str
    status: str


def status() -> tuple[list[Task], int]:
    """Ask DVC for the tasks in its queue and how many workers answer, which takes seconds."""
    printed = _ask("queue", "status")
    header, workers = HEADER.search(printed), WORKERS.search(printed)
    if workers is None or (header is None and EMPTY not in printed):
        raise UserError(f"`dvc queue status`: no table as DVC 3 prints it: {printed.strip()!r}")
    tasks = []
    if header is not None:
        # Names may be empty, and dates have several words.
        name, created, state = map(header[0].index, ("Name", "Created", "Status"))
        for line in printed[header.end() : workers.start()].strip().splitlines():
            cells = (line[name:created], line[:name], line[state:])
            tasks.append(Task(*map(str.strip, cells)))
    return tasks, sum(map(int, workers.groups()))


def params_of_tasks(commit: str) -> dict[str, dict[str, Any]]:
    """Return the content of `params.yaml` of a commit's experiments and tasks, by revision."""
    params = {}
    for row in json.loads(_ask("exp", "show", "--json", "--rev", commit)):
        for experiment in (row["experiments"] or []) if row["rev"] == commit else []:
            for state in experiment["revs"]:
                by_file = (state["data"] or {}).get("params", {})
                params[state["rev"]] = by_file.get("params.yaml", {}).get("data") or {}
    return params


def log(task: Task | None) -> str:
    """Return what a task has printed so far; empty if it has not yet."""
    try:
        return call("queue", "logs", task.id) if task else ""
    except UserError:
        return ""


def put(experiment: Experiment, targets: Iterable[str]) -> None:
    """Put an experiment into the queue; DVC refuses e.g. unknown targets."""
    overrides = [word for override in experiment.overrides for word in ("-S", override)]
    call("exp", "run", "--queue", "--name", experiment.name, *overrides, *targets)


def remove(tasks: Iterable[Task]) -> None:
    """Take tasks that failed out of the queue; experiments are left alone."""
    if ids := [task.id for task in tasks]:
        call("queue", "remove", *ids)


def kill(tasks: Iterable[Task], *options: str) -> None:
    """Interrupt tasks that run, so that DVC notes them as failed."""
    if ids := [task.id for task in tasks]:
        # DVC kills the others, too, before it complains of one that ended meanwhile.
        with contextlib.suppress(UserError):
            call("queue", "kill", *options, *ids)


def stop(running: Callable[[], list[Task]]) -> None:
    """Let workers take nothing more, and end what is running; what waits stays in the queue."""
    call("queue", "stop")
    kill(running())
    deadline = time.monotonic() + PATIENCE
    while (left := running()) and time.monotonic() < deadline:
        time.sleep(PAUSE)
    kill(left, "--force")


def _ask(*arguments: str) -> str:
    for _ in range(TRIES):
        with contextlib.suppress(UserError):
            return call(*arguments)
        time.sleep(PAUSE)
    return call(*arguments)


def call(*arguments: str) -> str:
    """Run DVC to its end, also at Ctrl-C: it changes the working tree and puts it back.

    Its output goes to files, as workers that it starts keep them open.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            ["dvc", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
        for file in (output, errors):
            file.seek(0)
        printed, complaints = (f.read().decode(errors="replace") for f in (output, errors))
    if code != 0:
        raise UserError(f"`dvc {' '.join(arguments)}`: {_reason(printed + complaints)}")
    return printed


def _reason(printed: str) -> str:
    lines = [line for line in printed.splitlines() if line.strip()]
    reason = next((line for line in lines if line.startswith("ERROR")), "".join(lines[-1:]))
    return reason.removeprefix("ERROR: ")
