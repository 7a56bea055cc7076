"""A study from its first queued experiment to its last result."""

import time
from collections.abc import Callable
from typing import Any

from trustmia.errors import UserError
from trustmia.full_keys import flat_keys
from trustmia.study import queue
from trustmia.study.grid import Experiment, Grid, leaders, trainings, waiting
from trustmia.study.progress import Clock, current_stage, duration, log_end
from trustmia.study.queue import Task
from trustmia.study.repository import ExperimentRepository, Finished

Say = Callable[[str], None]
# Experiments that succeeded, now or before, in the grid's order; names of the others.
Outcome = tuple[list[tuple[Experiment, Finished]], list[str]]
# How long a worker may take to show itself, in seconds.
WORKERS_COME_IN = 15.0
# How long DVC is left alone: asking takes a second of a processor. A look at git takes nothing.
SHORTEST, LONGEST = 1.0, 20.0
GLANCE = 1.0


def run_study(grid: Grid, repository: ExperimentRepository, jobs: int, say: Say) -> Outcome:
    """Run what is missing of a study through DVC's queue and wait for it.

    Args:
        grid: The experiments.
        repository: Where they run, on the current commit.
        jobs: How many run at the same time, 1 or more.
        say: Takes one message at a time for the person who waits.

    Returns:
        Those that succeeded, and names of those that failed, which stop no others.

    Raises:
        UserError: An experiment of the same name has other parameters, or DVC refuses one.
        KeyboardInterrupt: The workers started here were stopped before it was passed on.
    """
    run = _StudyRun(grid, repository, jobs, say)
    had_workers = run.prepare()
    try:
        run.wait()
    except KeyboardInterrupt:
        if had_workers:
            say("interrupted; DVC's workers ran before and go on: `dvc queue stop` ends them")
        else:
            say("interrupted; stopping DVC's workers. Running the study again goes on")
            queue.stop(lambda: run.running(queue.status()[0]))
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
        self._abandoned: set[str] = set()
        self._strangers: set[str] = set()
        self._pause = SHORTEST
        self._workers_called = float("-inf")
        self._alive_at = time.monotonic()
        first = leaders(grid.experiments, trainings)
        trains = {name: leader == name for name, leader in first.items()}
        self._clock = Clock(trains, jobs, time.monotonic)

    def prepare(self) -> bool:
        """Find out what is missing, forget earlier failures of it, say if there are workers."""
        tasks, workers = queue.status()
        self._strangers = {task.id for task in tasks} - self._own(tasks)
        # Tasks first: what has left the queue by then has its result already.
        done = self._finished()
        for name, run in done.items():
            self._check_same_params(name, self._repository.params(run.revision), "exp")
        failed = [task for task in tasks if self._ours(task) and task.status == "Failed"]
        active = {task.name for task in self._tasks(tasks).values()} - {t.name for t in failed}
        self._unsettled = [name for name in self._experiments if name not in done]
        self._to_queue = [name for name in self._unsettled if name not in active]
        queue.remove(failed)
        counts = f"{len(done)} done before, {len(active)} queued before"
        self._say(f"{len(self._experiments)} experiments: {counts}, {len(self._to_queue)} to queue")
        others = [task for task in tasks if task.status in ("Queued", "Running")]
        if names := [task.name or task.id for task in others if not self._ours(task)]:
            self._say(f"DVC's queue holds others, which its workers run, too: {', '.join(names)}")
        return workers > 0

    def _own(self, tasks: list[Task]) -> set[str]:
        """Return the tasks that are experiments of the study, on this commit."""
        named = [t for t in tasks if t.name in self._experiments and t.status != "Success"]
        params = queue.params_of_tasks(self._head) if named else {}
        own = set()
        for task in named:
            for revision in [r for r in params if r.startswith(task.id)]:
                own.add(task.id)
                if task.status != "Failed":
                    self._check_same_params(task.name, params[revision], "queue")
        return own

    def _check_same_params(self, name: str, content: dict[str, Any], command: str) -> None:
        """Refuse an experiment that bears a name of the study and has other parameters."""
        params = flat_keys(content)
        for key, value in flat_keys(self._experiments[name].params.model_dump()).items():
            if params.get(key) != value:
                raise UserError(
                    f"{name}: exists with {key}={params.get(key)}, the study has {value}; "
                    f"rename the variant or run `dvc {command} remove {name}`"
                )

    def _ours(self, task: Task) -> bool:
        return task.name in self._experiments and task.id not in self._strangers

    def _finished(self) -> dict[str, Finished]:
        finished = self._repository.finished(self._head)
        return {each.name: each for each in finished if each.name in self._experiments}

    def _tasks(self, tasks: list[Task]) -> dict[str, Task]:
        """Return the study's tasks without success; of several with a name, one not over."""
        own = [task for task in tasks if self._ours(task) and task.status != "Success"]
        return {task.name: task for task in sorted(own, key=lambda task: task.status != "Failed")}

    def running(self, tasks: list[Task]) -> list[Task]:
        """Return the study's tasks that run."""
        return [task for task in tasks if self._ours(task) and task.status == "Running"]

    def _watch_workers(self, tasks: list[Task], workers: int) -> None:
        """Start workers where experiments wait, and end what no worker is left for.

        Workers vanish at a reboot; one may also end, as it had nothing to do, in the moment
        that it takes a task. DVC calls that task running until it is killed.
        """
        now = time.monotonic()
        states = [task.status for task in tasks]
        running = self.running(tasks)
        idle = "Queued" in states and states.count("Running") < self._jobs
        if workers or not running:
            self._alive_at = now
        if now - self._alive_at > WORKERS_COME_IN:
            queue.kill(running)
            self._abandoned |= {task.name for task in running}
            self._alive_at = time.monotonic()
        elif idle and now - self._workers_called > WORKERS_COME_IN:
            queue.call("queue", "start", "--jobs", str(self._jobs))
            self._workers_called = time.monotonic()
        if idle or self._alive_at != now:
            self._pause = SHORTEST

    def wait(self) -> None:
        """Queue, watch and report until every experiment has succeeded or failed."""
        while self._unsettled:
            self._release()
            every_task, workers = queue.status()
            tasks = self._tasks(every_task)
            done = self._finished()
            for name in [name for name in self._unsettled if name not in self._to_queue]:
                self._follow(name, tasks.get(name), name in done)
            if self._unsettled:
                self._watch_workers(every_task, workers)
                self._leave_alone(done)

    def _leave_alone(self, done: dict[str, Finished]) -> None:
        """Wait, the longer the less happens, and no longer than until an experiment is done."""
        until = time.monotonic() + self._pause
        while time.monotonic() < until and self._finished() == done:
            time.sleep(GLANCE)
        self._pause = min(2 * self._pause, LONGEST)

    def _release(self) -> None:
        """Queue the experiments that need not wait for another one."""
        unsettled = set(self._unsettled)
        for name in list(self._to_queue):
            if not self._waits.get(name, set()) & unsettled:
                if (head := self._repository.head()) != self._head:
                    raise UserError(
                        f"the current commit was {self._head[:7]} and is {head[:7]}; a study "
                        "belongs to one commit: check that out, or run the study again for this one"
                    )
                queue.put(self._experiments[name], self._targets)
                self._to_queue.remove(name)
                self._pause = SHORTEST

    def _follow(self, name: str, task: Task | None, done: bool) -> None:
        if task is not None:
            self._missed.discard(name)
        if done:
            seconds = self._clock.end(name)
            self._settle(name, "done" if seconds is None else f"done in {duration(seconds)}")
        elif task is None and name not in self._missed:
            # DVC may be about to move it; twice is no accident.
            self._missed.add(name)
        elif task is not None and task.status == "Failed" and name in self._abandoned:
            queue.remove([task])
            self._abandoned.remove(name)
            self._to_queue.append(name)
            self._pause = SHORTEST
        elif task is None or task.status == "Failed":
            self._clock.forget(name)
            self._failed.append(name)
            end = log_end(queue.log(task))
            self._settle(name, f"failed; `dvc queue logs {name}` shows all of it:\n{end}")
        elif task.status == "Running":
            self._clock.start(name)
            # Its log is another question to DVC: for times when nothing else happens.
            stage = current_stage(queue.log(task)) if self._pause > SHORTEST else None
            if stage is not None and stage != self._stages.get(name):
                self._stages[name] = stage
                self._report(name, stage)

    def _settle(self, name: str, words: str) -> None:
        self._unsettled.remove(name)
        self._pause = SHORTEST
        self._report(name, words)

    def _report(self, name: str, words: str) -> None:
        settled = len(self._experiments) - len(self._unsettled)
        left = self._clock.left(self._unsettled)
        estimate = f", about {duration(left)} left" if left else ""
        self._say(f"[{settled}/{len(self._experiments)}{estimate}] {name}: {words}")

    def outcome(self) -> Outcome:
        """Return what became of all experiments."""
        done = self._finished()
        pairs = [(e, done[name]) for name, e in self._experiments.items() if name in done]
        return pairs, self._failed
