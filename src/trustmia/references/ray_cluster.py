"""Reference models as tasks of a Ray cluster: of many machines, or of this one alone."""

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch

from trustmia.errors import UserError
from trustmia.images.base import Images
from trustmia.images.prepared import Uncropped, starts_of
from trustmia.references.job import Done, Job, Task, train_one
from trustmia.references.unfinished import PACKAGE
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import cores, pick_device

RETRIES = 5
CHECK_SECONDS = 5.0
CONNECT_SECONDS = 5.0
# Room for finished models on their way back, beside the images.
STORE_FOR_MODELS = 512 * 2**20


@dataclass(frozen=True)
class RayExecutor:
    """Trains on a Ray cluster.

    The machines need what this package depends on; its code, the images and the finished
    models travel through Ray.

    Attributes:
        address: `host:port` of a cluster. None: the environment's `RAY_ADDRESS`, or a
            cluster of this machine alone for as long as the training lasts.
        cpus_per_model: CPUs that Ray reserves for a model.
        gpus_per_model: GPUs likewise, a fraction for a share of one; 0 trains on the CPU.
    """

    address: str | None = None
    cpus_per_model: float = 1.0
    gpus_per_model: float = 0.0

    def __call__(self, job: Job, tasks: Sequence[Task], done: Done) -> None:
        """See `Executor`.

        Raises:
            UserError: Ray is not installed, the cluster cannot be joined or has no machine
                for a model, a loss is no longer finite, or the worker of one model died
                time and again.
        """
        if self.gpus_per_model > 1 and not float(self.gpus_per_model).is_integer():
            raise UserError(
                f"references.gpus_per_model: got {self.gpus_per_model}; allowed: "
                "a share of one GPU, or a whole number"
            )
        job = _shipped(job)
        with _cluster(self.address or os.environ.get("RAY_ADDRESS"), job) as ray:
            self._require_room(ray)
            self._train(ray, job, tasks, done)

    def _train(self, ray: ModuleType, job: Job, tasks: Sequence[Task], done: Done) -> None:
        train = ray.remote(
            num_cpus=self.cpus_per_model, num_gpus=self.gpus_per_model, max_retries=RETRIES
        )(_train_in_task)
        common = (ray.put(job), self.gpus_per_model > 0)
        running = {
            train.options(name=f"reference model {task.number}").remote(task, *common): task
            for task in tasks
        }
        while running:
            ready, _ = ray.wait(list(running), timeout=CHECK_SECONDS)
            if not ready:
                self._require_room(ray)
            for reference in ready:
                task = running.pop(reference)
                done(task, _result(ray, reference, task))

    def _require_room(self, ray: ModuleType) -> None:
        """Refuse to wait for a machine that the cluster does not have."""
        machines = [
            (node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
            for node in ray.nodes()
            if node["Alive"]
        ]
        cpus, gpus = self.cpus_per_model, self.gpus_per_model
        if not any(c >= cpus and g >= gpus for c, g in machines):
            present = "; ".join(_resources(*machine) for machine in sorted(machines))
            raise UserError(
                f"references.cpus_per_model, references.gpus_per_model: no machine of the Ray "
                f"cluster has {_resources(cpus, gpus)} (its machines: {present}); ask for less, or "
                "add a machine with `ray start --address=…` and run the stage again"
            )


def _resources(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPUs and {gpus:g} GPUs"


def _train_in_task(task: Task, job: Job, on_gpu: bool) -> Checkpoint:
    if not on_gpu:
        # Ray does not hide GPUs from a task that has reserved none.
        return train_one(job, task, torch.device("cpu"))
    device = pick_device()
    if device.type != "cuda":
        raise UserError(
            f"PyTorch sees no GPU on {socket.gethostname()}, although Ray has reserved one there; "
            "install its CUDA build, or set references.gpus_per_model=0"
        )
    return train_one(job, task, device)


def _result(ray: ModuleType, reference: Any, task: Task) -> Checkpoint:
    failures = ray.exceptions
    try:
        checkpoint: Checkpoint = ray.get(reference)
    except failures.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from error
        if isinstance(error.cause, failures.RaySystemError):
            machine = re.search(r"\bip=([^,)]+)", str(error))
            raise UserError(
                f"machine {machine[1] if machine else ''} of the cluster cannot read what it is to "
                f"train: {_first_line(error.cause).removeprefix('System error: ')}; install this "
                "project's requirements.txt there"
            ) from error
        raise
    except (
        failures.WorkerCrashedError,
        failures.NodeDiedError,
        failures.OutOfMemoryError,
        failures.ObjectLostError,
    ) as error:
        raise UserError(
            f"reference model {task.number} was given up after {RETRIES} retries "
            f"({type(error).__name__}: {_first_line(error)}); run the stage again: it goes on "
            "with the models that are missing"
        ) from error
    return checkpoint


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]


@contextlib.contextmanager
def _cluster(address: str | None, job: Job) -> Iterator[ModuleType]:
    """Join a cluster, or start one of this machine, until the block ends."""
    ray = _import_ray()
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    code = {"runtime_env": {"py_modules": [str(PACKAGE)]}}
    if address is None or address == "local":
        ray.init(
            address="local",
            num_cpus=cores(),
            object_store_memory=_nbytes(job) + STORE_FOR_MODELS,
            include_dashboard=False,
            **quiet,
            **code,
        )
    else:
        _require_listener(address)
        try:
            ray.init(address=address, **quiet, **code)
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise _unreachable(address, error) from error
    try:
        yield ray
    finally:
        # Ends a cluster that was started here, and only leaves another.
        ray.shutdown()


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "references.executor: ray is not installed; `pip install 'trustmia[ray]'`, or set "
            "references.executor=local"
        ) from error
    module: ModuleType = ray
    return module


def _require_listener(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try for minutes."""
    host, separator, port = address.rpartition(":")
    if not (separator and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> UserError:
    if "authentication token" in f"{error} {error.__cause__}".lower():
        return UserError(
            f"the Ray cluster at {address} asks for a token: set RAY_AUTH_MODE=token and copy "
            "~/.ray/auth_token of the cluster's head to the same place here, or name it in "
            "RAY_AUTH_TOKEN_PATH"
        )
    reason = " ".join(str(error).split())
    return UserError(
        f"no Ray cluster can be joined at {address} ({reason}); `ray status --address={address}` "
        "shows whether it runs, `ray start --head --port=6379` starts one, and references."
        "ray_address=null without RAY_ADDRESS in the environment uses this machine alone"
    )


def _shipped(job: Job) -> Job:
    """Return a job whose arrays Ray can share between processes, without other images.

    A view of a memory-mapped file would be copied whole, into every process.
    """
    pool = Images(np.ascontiguousarray(job.pool.pixels), np.ascontiguousarray(job.pool.labels))
    uncropped = job.uncropped
    if uncropped is not None:
        pixels = np.concatenate([uncropped[i].reshape(-1) for i in range(len(uncropped))])
        uncropped = Uncropped(np.asarray(pixels), uncropped.shapes, starts_of(uncropped.shapes))
    return replace(job, pool=pool, uncropped=uncropped)


def _nbytes(job: Job) -> int:
    images = job.pool.pixels.nbytes + job.pool.labels.nbytes
    return images + (0 if job.uncropped is None else job.uncropped.pixels.nbytes)
