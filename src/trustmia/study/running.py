"""A study from its first queued experiment to its last result."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trustmia.errors import UserError
from trustmia.full_keys import flat_keys
from trustmia.study import queue
from trustmia.study.grid import Experiment, Grid, leaders, trainings, waiting
from trustmia.study.progress import Clock, current_stage, duration, log_end
from trustmia.study.repository import ExperimentRepository, Finished, Task

Say = Callable[[str], None]
# How often DVC is asked, and how long a worker may take to show itself, in seconds.
INTERVAL = 2.0
WORKERS_COME_IN = 15.0


@dataclass(frozen=True)
class Outcome:
    """What became of a study's experiments.

    Attributes:
        finished: Those that succeeded, now or before, in the grid's order.
        failed: Names of the others.
    """

    finished: tuple[tuple[Experiment, Finished], ...]
    failed: tuple[str, ...]


def run_study(grid: Grid, repository: ExperimentRepository, jobs: int, say: Say) -> Outcome:
    """Run what is missing of a study through DVC's queue and wait for it.

    Args:
        grid: The experiments.
        repository: Where they run, on the current commit.
        jobs: How many run at the same time, 1 or more.
        say: Takes one message at a time for the person who waits.

    Returns:
        What became of them; an experiment that failed does not stop the others.

    Raises:
        UserError: An experiment of the same name has other parameters, or DVC refuses one.
        KeyboardInterrupt: The workers started here were stopped before it was passed on.
    """
    run = _StudyRun(grid, repository, jobs, say)
    run.prepare()
    had_workers = repository.has_workers()
    try:
        run.wait()
    except KeyboardInterrupt:
        if had_workers:
            say("interrupted; DVC's workers ran before and go on: `dvc queue stop` ends them")
        else:
            say("interrupted; stopping DVC's workers. Running the study again goes on")
            queue.stop(run.running)
        raise
    return run.outcome()


class _StudyRun:
    """The experiments by what is left to be done: to be queued, then to be settled."""

    def __init__(self, grid: Grid, repository: ExperimentRepository, jobs: int, say: Say):
        self._experiments = {experiment.name: experiment for experiment in grid.experiments}
        self._targets = grid.targets
        self._repository = repository
        self._head = repository.head()
        self._jobs = jobs
        self._say = say
        # One worker takes them in the order of the grid, which is right by itself.
        self._waits = waiting(grid.experiments) if jobs > 1 else {}
        self._to_queue: list[str] = []
        self._unsettled: list[str] = []
        self._failed: list[str] = []
        self._stages: dict[str, str] = {}
        self._missed: set[str] = set()
        self._workers_called = float("-inf")
        self._alive_at = time.monotonic()
        first = leaders(grid.experiments, trainings)
        trains = {name: leader == name for name, leader in first.items()}
        self._clock = Clock(trains, jobs, time.monotonic)

    def prepare(self) -> None:
        """Find out what is missing, and forget earlier failures of it."""
        done = self._finished()
        _check_same_params(self._experiments, self._repository, done.values())
        self._end_abandoned()
        active = {name: t for name, t in self._tasks().items() if t.state != "failed"}
        _check_same_params(self._experiments, self._repository, active.values())
        self._unsettled = [name for name in self._experiments if name not in done]
        self._to_queue = [name for name in self._unsettled if name not in active]
        queue.remove(self._failures())
        self._announce(len(done), len(active))

    def _announce(self, done: int, active: int) -> None:
        counts = f"{done} done before, {active} queued before, {len(self._to_queue)} to queue"
        self._say(f"{len(self._experiments)} experiments: {counts}")
        tasks = [task for task in self._repository.tasks() if task.state != "failed"]
        others = [task.name or task.revision[:7] for task in tasks if not self._ours(task)]
        if others:
            self._say(f"DVC's queue holds others, which its workers run, too: {', '.join(others)}")

    def _ours(self, task: Task) -> bool:
        return task.baseline == self._head and task.name in self._experiments

    def _finished(self) -> dict[str, Finished]:
        finished = self._repository.finished(self._head)
        return {each.name: each for each in finished if each.name in self._experiments}

    def _tasks(self) -> dict[str, Task]:
        """Return the study's tasks; of several with a name, one that is not over."""
        return {task.name: task for task in self._repository.tasks() if self._ours(task)}

    def _failures(self) -> list[Task]:
        tasks = self._repository.tasks()
        return [task for task in tasks if self._ours(task) and task.state == "failed"]

    def running(self) -> list[Task]:
        """Return the study's tasks that run."""
        return [task for task in self._tasks().values() if task.state == "running"]

    def _end_abandoned(self) -> list[str]:
        """Let DVC note as failed what it calls running though no worker is left.

        Workers vanish at a reboot; one may also end, as it had nothing to do, in the moment
        that it takes a task.
        """
        abandoned = [task for task in self.running() if not task.alive]
        if not abandoned or self._repository.has_workers():
            return []
        queue.kill(abandoned)
        return [task.name for task in abandoned]

    def _queue_abandoned_again(self) -> None:
        """Queue again what no worker is left for."""
        if all(task.alive for task in self.running()):
            self._alive_at = time.monotonic()
        elif time.monotonic() - self._alive_at > WORKERS_COME_IN:
            self._to_queue += self._end_abandoned()
            queue.remove(task for task in self._failures() if task.name in self._to_queue)
            self._alive_at = time.monotonic()

    def wait(self) -> None:
        """Queue, watch and report until every experiment has succeeded or failed."""
        while self._unsettled:
            self._release()
            # Tasks first: what has left the queue by then has its result already.
            tasks = self._tasks()
            done = self._finished()
            for name in [name for name in self._unsettled if name not in self._to_queue]:
                self._follow(name, tasks.get(name), name in done)
            self._queue_abandoned_again()
            if self._unsettled:
                self._call_workers()
                time.sleep(INTERVAL)

    def _release(self) -> None:
        """Queue the experiments that need not wait for another one."""
        unsettled = set(self._unsettled)
        for name in list(self._to_queue):
            if not self._waits.get(name, set()) & unsettled:
                self._check_commit()
                queue.put(self._experiments[name], self._targets)
                self._to_queue.remove(name)

    def _check_commit(self) -> None:
        """Refuse to queue the rest of a study on another commit than its beginning."""
        head = self._repository.head()
        if head != self._head:
            raise UserError(
                f"the current commit was {self._head[:7]} and is {head[:7]}; a study belongs to "
                "one commit: check that out, or run the study again for this one"
            )

    def _follow(self, name: str, task: Task | None, done: bool) -> None:
        if task is not None:
            self._missed.discard(name)
        if done:
            seconds = self._clock.end(name)
            self._settle(name, "done" if seconds is None else f"done in {duration(seconds)}")
        elif task is None and name not in self._missed:
            # DVC may be about to move it; twice is no accident.
            self._missed.add(name)
        elif task is None or task.state == "failed":
            self._fail(name, task)
        elif task.state == "running":
            self._clock.start(name)
            stage = current_stage(task.log)
            if stage is not None and stage != self._stages.get(name):
                self._stages[name] = stage
                self._report(name, stage)

    def _fail(self, name: str, task: Task | None) -> None:
        self._clock.forget(name)
        self._failed.append(name)
        end = log_end(task.log if task else None)
        self._settle(name, f"failed; `dvc queue logs {name}` shows all of it:\n{end}")

    def _settle(self, name: str, words: str) -> None:
        self._unsettled.remove(name)
        self._report(name, words)

    def _report(self, name: str, words: str) -> None:
        settled = len(self._experiments) - len(self._unsettled)
        left = self._clock.left(self._unsettled)
        estimate = f", about {duration(left)} left" if left else ""
        self._say(f"[{settled}/{len(self._experiments)}{estimate}] {name}: {words}")

    def _call_workers(self) -> None:
        """Start workers where experiments wait and too few run."""
        states = [task.state for task in self._repository.tasks()]
        idle = "queued" in states and states.count("running") < self._jobs
        if idle and time.monotonic() - self._workers_called > WORKERS_COME_IN:
            queue.start(self._jobs)
            self._workers_called = time.monotonic()

    def outcome(self) -> Outcome:
        """Return what became of all experiments."""
        done = self._finished()
        pairs = [(e, done[name]) for name, e in self._experiments.items() if name in done]
        return Outcome(tuple(pairs), tuple(self._failed))


def _check_same_params(
    experiments: dict[str, Experiment],
    repository: ExperimentRepository,
    others: Iterable[Finished | Task],
) -> None:
    """Refuse experiments that bear a name of the study and have other parameters."""
    for other in others:
        params = flat_keys(repository.params(other.revision))
        for key, value in flat_keys(experiments[other.name].params.model_dump()).items():
            if params.get(key) != value:
                command = "queue" if isinstance(other, Task) else "exp"
                raise UserError(
                    f"{other.name}: exists with {key}={params.get(key)}, the study has {value}; "
                    f"rename the variant or run `dvc {command} remove {other.name}`"
                )
