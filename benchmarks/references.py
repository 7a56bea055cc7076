"""Many reference models together against one after the other."""

import numpy as np

from benchmarks.timing import side_by_side
from trustmia.classifiers import TrainConfig
from trustmia.classifiers.recipe import Recipe
from trustmia.images.base import Dataset, Images
from trustmia.references.assignment import complementary_halves
from trustmia.references.job import Job, Task, tasks
from trustmia.references.local import LocalExecutor
from trustmia.runtime.checkpoints import Checkpoint

MODELS, IMAGES, EPOCHS, ROUNDS = 16, 5000, 2, 2


def report() -> str:
    """Return how fast models are trained together, the start of workers included."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(IMAGES, 1, 28, 28), dtype=np.uint8)
    config = TrainConfig(
        epochs=EPOCHS, batch_size=64, lr=0.001, weight_decay=0, label_smoothing=0, precision="auto"
    )
    job = Job(
        dataset=Dataset("none", tuple("0123456789"), 1, 28, (0.2860,), (0.3530,)),
        pool=Images(pixels, rng.integers(10, size=IMAGES)),
        uncropped=None,
        recipe=Recipe("salem_cnn", config, 0, {}, "lr"),
    )
    wanted = tasks(complementary_halves(IMAGES, MODELS, 0), 0)
    together = LocalExecutor()

    def ignore(task: Task, checkpoint: Checkpoint) -> None:
        del task, checkpoint

    _, _, ratio = side_by_side(
        lambda: together(job, wanted, ignore),
        lambda: LocalExecutor("none")(job, wanted, ignore),
        ROUNDS,
    )
    way = {"processes": "a process per core", "stacked": "stacked"}[together.chosen()]
    return f"references: {MODELS} models together ({way}) at {ratio:.2f} times the speed of in turn"
