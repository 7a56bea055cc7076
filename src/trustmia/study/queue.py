"""DVC's queue as the command `dvc` drives it."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping

from trustmia.errors import UserError
from trustmia.study.grid import Experiment
from trustmia.study.repository import Task

# A stage may take this long to end after an interrupt before it is killed, in seconds.
PATIENCE = 20.0
# Where a repository has its code, relative to its root.
CODE = "src"


def put(experiment: Experiment, targets: Iterable[str]) -> None:
    """Put an experiment into the queue.

    Raises:
        UserError: DVC refuses it, e.g. as a target is unknown.
    """
    overrides = [word for override in experiment.overrides for word in ("-S", override)]
    _dvc("exp", "run", "--queue", "--name", experiment.name, *overrides, *targets)


def remove(tasks: Iterable[Task]) -> None:
    """Take tasks that failed out of the queue; experiments are left alone."""
    revisions = [task.revision for task in tasks]
    if revisions:
        _dvc("queue", "remove", *revisions)


def start(jobs: int) -> None:
    """Start workers until there are `jobs`; they end by themselves when nothing is left.

    Each experiment runs in a copy of the repository. A relative path makes it import the
    code of its copy, not that of the working tree, which may change meanwhile. Several
    experiments share the cores: with as many threads each as there are cores, they would
    wait for each other most of the time.
    """
    paths = [CODE, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths)}
    if jobs > 1:
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(threads))
    _dvc("queue", "start", "--jobs", str(jobs), environment=environment)


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


def _dvc(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run DVC to its end, also at Ctrl-C: it changes the working tree and puts it back.

    Its output goes to a file, as workers that it starts keep it open.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["dvc", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
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
