"""DVC's queue as the command `dvc` drives it; where DVC refuses, a UserError has its reason."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable

from trustmia.errors import UserError
from trustmia.study.grid import Experiment
from trustmia.study.repository import Task

# A stage may take this long to end after an interrupt before it is killed, in seconds.
PATIENCE = 20.0


def put(experiment: Experiment, targets: Iterable[str]) -> None:
    """Put an experiment into the queue; DVC refuses e.g. unknown targets."""
    overrides = [word for override in experiment.overrides for word in ("-S", override)]
    _dvc("exp", "run", "--queue", "--name", experiment.name, *overrides, *targets)


def remove(tasks: Iterable[Task]) -> None:
    """Take tasks that failed out of the queue; experiments are left alone."""
    revisions = [task.revision for task in tasks]
    if revisions:
        _dvc("queue", "remove", *revisions)


def start(jobs: int) -> None:
    """Start workers until there are `jobs`; they end by themselves when nothing is left."""
    _dvc("queue", "start", "--jobs", str(jobs))


def stop(running: Callable[[], list[Task]]) -> None:
    """Let workers take nothing more, and end what runs; what waits stays in the queue.

    Args:
        running: Returns the tasks to end that still run.
    """
    _dvc("queue", "stop")
    kill(running())
    deadline = time.monotonic() + PATIENCE
    while running() and time.monotonic() < deadline:
        time.sleep(0.2)
    kill(running(), "--force")


def kill(tasks: Iterable[Task], *options: str) -> None:
    """Interrupt tasks that run, so that DVC notes them as failed."""
    revisions = [task.revision for task in tasks]
    if revisions:
        _dvc("queue", "kill", *options, *revisions)


def _dvc(*arguments: str) -> None:
    """Run DVC to its end, also at Ctrl-C: it changes the working tree and puts it back.

    Its output goes to a file, as workers that it starts keep it open.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["dvc", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
        output.seek(0)
        if code != 0:
            raise UserError(f"`dvc {' '.join(arguments)}`: {_reason(output.read())}")


def _reason(printed: str) -> str:
    lines = [line for line in printed.splitlines() if line.strip()]
    reason = next((line for line in lines if line.startswith("ERROR")), "".join(lines[-1:]))
    return reason.removeprefix("ERROR: ")
