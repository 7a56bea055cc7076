"""What there is to train, and the training of one reference model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from trustmia.arrays import Bool, Int64
from trustmia.classifiers import recipe as recipes
from trustmia.classifiers.recipe import Recipe, TrainingData
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import Uncropped
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import threads
from trustmia.runtime.seeding import derive_seed


@dataclass(frozen=True)
class Task:
    """One reference model.

    Attributes:
        number: Its row in the membership matrix.
        seed: Seed of its initial weights, the order of its images and dropout.
        member: bool [N], the pool's images that it is trained on.
    """

    number: int
    seed: int
    member: Bool

    @property
    def rows(self) -> Int64:
        """int64 [K], the images it is trained on."""
        return np.flatnonzero(self.member)


@dataclass(frozen=True)
class Job:
    """What all reference models have in common.

    Attributes:
        dataset: What the images are.
        pool: The audited images, N of them.
        uncropped: The same before they are cropped, where training augments; else None.
        recipe: How models are trained; each has its own seed instead of the recipe's.
        threads: How many a model is trained with on the CPU, whoever trains it.
    """

    dataset: Dataset
    pool: Images
    uncropped: Uncropped | None
    recipe: Recipe
    threads: int = 1

    def data(self, task: Task) -> TrainingData:
        """Return a model's images; it is tested on the pool's other half."""
        return TrainingData(
            train=self.pool.take(task.rows),
            test=self.pool.take(np.flatnonzero(~task.member)),
            uncropped=self.uncropped and self.uncropped.take(task.rows),
        )


Done = Callable[[Task, Checkpoint], None]


class Executor(Protocol):
    """Trains reference models somewhere.

    `done` is called in the caller's process, once per model, as soon as the model is
    finished, in any order.
    """

    def __call__(self, job: Job, tasks: Sequence[Task], done: Done) -> None:
        """Train all the models.

        Raises:
            UserError: A loss is no longer finite, or a worker is lost for good.
        """


def tasks(member: Bool, seed: int) -> list[Task]:
    """Return a task for each row of a membership matrix, bool [M, N]."""
    return [
        Task(number, derive_seed(seed, "references", "model", str(number)), row)
        for number, row in enumerate(member)
    ]


def train_one(job: Job, task: Task, device: torch.device) -> Checkpoint:
    """Train a reference model.

    Raises:
        UserError: The loss is no longer finite.
    """
    recipe = replace(job.recipe, seed=task.seed)
    with threads(job.threads):
        return recipes.train(job.dataset, job.data(task), recipe, device, on_epoch=None)
