"""Reference models on Ray: a cluster of this machine, and one of two nodes that fail."""

import contextlib
import importlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.torch import save

from tests.helpers import ROOT, documented
from trustmia.classifiers import TrainConfig
from trustmia.classifiers.recipe import Recipe
from trustmia.errors import UserError
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import Uncropped, starts_of
from trustmia.params import load_params
from trustmia.references.assignment import complementary_halves
from trustmia.references.job import Job, Task, tasks
from trustmia.references.local import LocalExecutor
from trustmia.references.ray_cluster import RayExecutor
from trustmia.runtime.checkpoints import Card, Checkpoint
from trustmia.stages.train_references import executor_of

pytestmark = pytest.mark.ray

IMAGES, SIDE, MODELS = 64, 8, 4
# A model takes seconds, so that one is always in training while another one is fetched.
EPOCHS = 800
Models = dict[int, tuple[bytes, Card]]

# Takes the only CPU of the cluster's first machine until its input ends.
OCCUPANT = """
import sys
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

@ray.remote(num_cpus=1)
class Occupant:
    def ready(self):
        return True

ray.init(address=sys.argv[1], log_to_driver=False)
head = next(node["NodeID"] for node in ray.nodes() if "GPU" in node["Resources"])
there = NodeAffinitySchedulingStrategy(head, soft=False)
ray.get(Occupant.options(scheduling_strategy=there).remote().ready.remote())
print("occupied", flush=True)
sys.stdin.read()
"""

# A machine with the dependencies, but without this package: it is neither installed there,
# nor can its own copy be imported.
BARE = {
    "sitecustomize.py": """
import importlib.metadata as metadata

find = metadata.distribution

def distribution(name):
    if name == "trustmia":
        raise metadata.PackageNotFoundError(name)
    return find(name)

metadata.distribution = distribution
""",
    "trustmia/__init__.py": "raise ImportError('the package was not shipped')\n",
}


class Collected:
    """Finished models, each but once; what is to be done after some of them."""

    def __init__(self, after: dict[int, Callable[["Collected"], None]] | None = None) -> None:
        self.models: Models = {}
        self.after = after or {}

    def __call__(self, task: Task, checkpoint: Checkpoint) -> None:
        assert task.number not in self.models
        weights = save({k: t.contiguous() for k, t in checkpoint.tensors.items()})
        self.models[task.number] = weights, checkpoint.card
        self.after.get(len(self.models), lambda _: None)(self)


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: `ray start --block` and its children."""

    command: subprocess.Popen[bytes]

    def processes(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self.command.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill_worker(self, collected: Collected) -> None:
        """Kill the process that trains a model, and make sure that the model was not done."""
        number, process = self._worker()
        process.kill()
        assert number not in collected.models

    def _worker(self) -> tuple[int, psutil.Process]:
        deadline = time.monotonic() + 30
        training = re.compile(r"ray::reference model (\d+)")
        while time.monotonic() < deadline:
            for process in self.processes():
                with contextlib.suppress(psutil.Error):
                    if match := training.match(" ".join(process.cmdline())):
                        return int(match[1]), process
            time.sleep(0.01)
        raise AssertionError("no process trains a model")

    def kill(self) -> None:
        """Let the machine lose its power."""
        assert self._worker()
        _kill(self.processes())

    def stop(self) -> None:
        processes = self.processes()
        if processes:
            self.command.terminate()
            psutil.wait_procs(processes, timeout=15)
        _kill(processes)
        self.command.wait()


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return a folder whose path is short enough for the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", autouse=True)
def environment(place: Path) -> Iterator[dict[str, str]]:
    """Give Ray a token, made as docs/clusters.md says, and a folder of its own."""
    script = "\n".join(["set -e", *documented("docs/clusters.md", "token")])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    asks = os.environ | {"HOME": str(place), "PATH": path}
    subprocess.run(["bash", "-c", script], env=asks, check=True, timeout=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(place / ".ray" / "auth_token"))
        patch.setenv("RAY_TMPDIR", str(place))
        patch.delenv("RAY_ADDRESS", raising=False)
        yield dict(os.environ)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Return a job that augments, its images among others in a memory-mapped file."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(3 * IMAGES, 1, SIDE, SIDE + 2), dtype=np.uint8)
    file = tmp_path_factory.mktemp("images") / "uncropped.npy"
    np.save(file, pixels.reshape(-1))
    shapes = np.tile(np.array([1, SIDE, SIDE + 2]), (len(pixels), 1))
    uncropped = Uncropped(np.load(file, mmap_mode="c"), shapes, starts_of(shapes))
    audited = np.arange(0, 3 * IMAGES, 3)
    training = {"epochs": EPOCHS, "batch_size": 16, "lr": 0.001, "precision": "fp32"}
    config = TrainConfig.model_validate(training | {"weight_decay": 0.0, "label_smoothing": 0.0})
    return Job(
        dataset=Dataset("noise", ("a", "b"), 1, SIDE, (0.5,), (0.25,)),
        pool=Images(pixels[audited, :, :, 1:-1], audited % 2),
        uncropped=uncropped.take(audited),
        recipe=Recipe("salem_cnn", config, 0, {"train.lr": config.lr}, "train.lr"),
    )


@pytest.fixture(scope="module")
def wanted() -> list[Task]:
    return tasks(complementary_halves(IMAGES, MODELS, seed=1), seed=1)


@pytest.fixture(scope="module")
def expected(job: Job, wanted: list[Task]) -> Models:
    """Return what single-threaded processes on this machine train."""
    collected = Collected()
    LocalExecutor("processes")(job, wanted, collected)
    return collected.models


@dataclass(frozen=True)
class Cluster:
    """Two machines of one CPU; the head says that it has a GPU.

    Attributes:
        modules: Folder of modules that its processes import before all installed ones.
    """

    address: str
    modules: Path
    head: Node
    second: Node


@pytest.fixture(scope="module")
def cluster(place: Path, environment: dict[str, str]) -> Iterator[Cluster]:
    """Start a cluster as docs/clusters.md says, of two bare machines."""
    for name, content in BARE.items():
        (place / "bare" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "bare" / name).write_text(content)
    port = free_port()
    changes = {
        "PYTHONPATH": str(place / "bare"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        # The GPU that the head is said to have is none, on machines with one, too.
        "CUDA_VISIBLE_DEVICES": "-1",
        "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "4",
    }
    nodes: list[Node] = []

    def start(documented: str, *options: str) -> None:
        command = shlex.split(documented.replace("6379", str(port)).replace("HEAD", "127.0.0.1"))
        limits = ["--num-cpus=1", "--object-store-memory=100000000"]
        said = place / f"node{len(nodes)}.log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                [*command, *limits, "--dashboard-agent-listen-port=0", *options],
                cwd=place,
                env=environment | changes,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        nodes.append(Node(process))
        deadline = time.monotonic() + 120
        while b"Ray runtime started" not in said.read_bytes():
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)

    try:
        head, second = documented("docs/clusters.md", "clusters")
        start(head, "--num-gpus=1", f"--temp-dir={place}")
        start(second)
        yield Cluster(f"127.0.0.1:{port}", place / "bare", *nodes)
    finally:
        for node in reversed(nodes):
            node.stop()


@pytest.fixture
def leave_head(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Keep the head busy, so that the second machine has to train, until this is called."""
    with subprocess.Popen(
        [sys.executable, "-c", OCCUPANT, cluster.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as occupant:

        def leave() -> None:
            assert occupant.stdin
            occupant.stdin.close()
            assert occupant.wait(30) == 0

        try:
            assert occupant.stdout and occupant.stdout.readline() == "occupied\n"
            yield leave
        finally:
            occupant.kill()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_the_stage_takes_the_executor_that_the_parameters_name() -> None:
    params = load_params(ROOT / "params.yaml").references
    chosen = {"ray_address": "head:6379", "cpus_per_model": 2.0, "gpus_per_model": 0.25}
    ray = params.model_copy(update={"executor": "ray", **chosen})
    assert executor_of(ray) == RayExecutor("head:6379", 2.0, 0.25)
    assert executor_of(params.model_copy(update={"executor": "local"})) == LocalExecutor(
        params.parallel, params.stack_size
    )


def test_a_cluster_of_this_machine_trains_what_processes_train(
    job: Job, wanted: list[Task], capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(job.recipe, config=job.recipe.config.model_copy(update={"epochs": 20}))
    expected, collected = Collected(), Collected()
    LocalExecutor("processes")(replace(job, recipe=recipe), wanted[:2], expected)
    capfd.readouterr()
    RayExecutor()(replace(job, recipe=recipe), wanted[:2], collected)
    assert collected.models == expected.models
    assert capfd.readouterr() == ("", "")
    left = [p.name() for p in psutil.Process().children(recursive=True)]
    assert not {"raylet", "gcs_server"} & set(left)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cpus", "gpus", "problem"),
    [
        (2.0, 0.0, "no machine of the Ray cluster has 2 CPUs and 0 GPUs"),
        # This is what a task finds.
        (1.0, 0.5, r"^PyTorch sees no GPU on .*gpus_per_model=0$"),
    ],
)
def test_a_cluster_that_has_not_what_a_model_needs_is_told(
    cpus: float, gpus: float, problem: str, cluster: Cluster, job: Job, wanted: list[Task]
) -> None:
    with pytest.raises(UserError, match=problem):
        RayExecutor(cluster.address, cpus, gpus)(job, wanted, Collected())


@pytest.mark.slow
def test_a_machine_without_the_dependencies_is_named(
    cluster: Cluster, job: Job, wanted: list[Task]
) -> None:
    broken = cluster.modules / "torch.py"
    broken.write_text("raise ModuleNotFoundError('No module named torch')")
    try:
        with pytest.raises(UserError, match=r"^machine [\d.]+ of .*: No module named torch;"):
            RayExecutor(cluster.address)(job, wanted, Collected())
    finally:
        broken.unlink()


@pytest.mark.slow
def test_models_survive_a_killed_worker_and_a_lost_machine(
    cluster: Cluster,
    job: Job,
    wanted: list[Task],
    expected: Models,
    leave_head: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose_second(_: Collected) -> None:
        cluster.second.kill()
        leave_head()

    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    collected = Collected({1: cluster.second.kill_worker, 2: lose_second})
    RayExecutor()(job, wanted, collected)
    assert collected.models == expected
    assert cluster.second.command.wait(1) == -signal.SIGKILL
    assert cluster.head.command.poll() is None, "the cluster is not ours to end"


def test_a_cluster_that_does_not_answer_is_named_at_once(
    job: Job, wanted: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", None)  # It would try for minutes.
    with pytest.raises(UserError, match=r"no Ray cluster can be joined at 127\.0\.0\.1:1 "):
        RayExecutor("127.0.0.1:1")(job, wanted, Collected())


@pytest.mark.parametrize(
    ("executor", "problem"),
    [
        (RayExecutor("no port"), "no Ray cluster can be joined at no port"),
        (RayExecutor(gpus_per_model=1.5), r"references\.gpus_per_model: got 1\.5"),
    ],
)
def test_what_is_no_address_and_no_share_of_a_gpu_is_refused(
    executor: RayExecutor, problem: str, job: Job, wanted: list[Task]
) -> None:
    with pytest.raises(UserError, match=problem):
        executor(job, wanted, Collected())


def test_without_ray_only_its_use_fails(
    job: Job, wanted: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, RayExecutor.__module__)
    imported = importlib.import_module(RayExecutor.__module__)
    with pytest.raises(UserError, match=r"pip install 'trustmia\[ray\]'"):
        imported.RayExecutor()(job, wanted, Collected())
