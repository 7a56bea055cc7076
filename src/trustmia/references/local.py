"""Reference models on this machine: in worker processes, stacked, or one after the other."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import torch

from trustmia.errors import UserError
from trustmia.references import Parallel
from trustmia.references.job import Done, Job, Task, train_one
from trustmia.references.stacked import train_stack
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import cores, pick_device


@dataclass(frozen=True)
class LocalExecutor:
    """Trains on this machine.

    Attributes:
        parallel: `processes`, `stacked`, `none`, or `auto`: `stacked` on a GPU, which many
            small models fill together, and `processes` on a CPU, where small matrices do
            not keep several threads busy.
        stack_size: Models in one stack.
    """

    parallel: Parallel = "auto"
    stack_size: int = 16

    def __call__(self, job: Job, tasks: Sequence[Task], done: Done) -> None:
        """See `Executor`.

        Raises:
            UserError: A loss is no longer finite, or a worker process died.
        """
        parallel = self.chosen()
        if parallel == "processes":
            in_processes(job, tasks, done)
        elif parallel == "stacked":
            for start in range(0, len(tasks), self.stack_size):
                stack = tasks[start : start + self.stack_size]
                for task, checkpoint in zip(stack, train_stack(job, stack, pick_device())):
                    done(task, checkpoint)
        else:
            for task in tasks:
                done(task, train_one(job, task, pick_device()))

    def chosen(self) -> Parallel:
        """Return what `auto` stands for here."""
        if self.parallel != "auto":
            return self.parallel
        return "stacked" if pick_device().type == "cuda" else "processes"


def in_processes(job: Job, tasks: Sequence[Task], done: Done) -> None:
    """Train in worker processes, as many as the cores allow; none outlives an interruption."""
    workers = min(max(1, cores() // job.threads), len(tasks))
    spawning = multiprocessing.get_context("spawn")
    jobs: Any = spawning.SimpleQueue()
    pool = ProcessPoolExecutor(workers, spawning, initializer=_start_worker, initargs=(jobs,))
    try:
        with _without_interrupts():
            futures = {pool.submit(_train_in_worker, task): task for task in tasks}
        # A worker takes the images once it has started; nobody is to wait for that.
        threading.Thread(target=_hand_out, args=(job, jobs, workers), daemon=True).start()
        for future in as_completed(futures):
            done(futures[future], future.result())
    except BrokenProcessPool as error:
        raise UserError(
            "a process that trained reference models was ended from outside, perhaps for want of "
            "memory; run the stage again: it goes on with the models that are missing"
        ) from error
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _hand_out(job: Job, jobs: Any, workers: int) -> None:
    for _ in range(workers):
        jobs.put(job)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that start inside ignore Ctrl-C, which the terminal sends to them, too."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Worker:
    """What a worker process keeps between its models."""

    job: Job


def _start_worker(jobs: Any) -> None:
    _Worker.job = jobs.get()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _train_in_worker(task: Task) -> Checkpoint:
    return train_one(_Worker.job, task, torch.device("cpu"))
