"""Many models of one architecture in one: their weights stacked, a step for all at once.

One small model leaves most of a GPU idle. Stacked, M models share every kernel: weights
are [M, …], and `torch.func.vmap` turns their convolutions into grouped ones.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from trustmia.classifiers import TrainConfig
from trustmia.classifiers import recipe as recipes
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inputs import build
from trustmia.classifiers.training import (
    EpochResult,
    TrainingImages,
    make_optimizer,
    require_finite,
)
from trustmia.references.job import Job, Task
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.runtime.compute import autocast, place, reproducible, threads

NOTHING = -1


def train_stack(job: Job, tasks: Sequence[Task], device: torch.device) -> list[Checkpoint]:
    """Train reference models together.

    Each model starts from the weights, and sees its images in the order, that its own seed
    gives, as if it were trained alone; on the CPU what differs is rounding. Dropout is
    drawn for all models together.

    Args:
        job: What they have in common.
        tasks: The models.
        device: Where to train.

    Returns:
        Their checkpoints, in the order of the tasks.

    Raises:
        UserError: A loss is no longer finite.
    """
    images = recipes.training_images(job.dataset, job.pool, job.uncropped).to(device)
    labels = torch.from_numpy(job.pool.labels).to(device)
    histories: list[list[dict[str, float | None]]] = [[] for _ in tasks]
    with threads(job.threads), reproducible(tasks[0].seed):
        stack = _Stack(job, tasks, device)
        for epoch in range(1, job.recipe.config.epochs + 1):
            results = stack.epoch(images, labels, job.recipe.config)
            for (loss, accuracy), history in zip(results, histories):
                try:
                    require_finite(loss, epoch)
                except FloatingPointError as error:
                    raise recipes.diverged(error, job.recipe) from error
                history.append(asdict(EpochResult(epoch, loss, accuracy, None)))
        models = stack.models()
    return [
        recipes.finished(job.dataset, job.data(task), job.recipe, model.eval(), history)
        for task, model, history in zip(tasks, models, histories)
    ]


class _Stack:
    """Stacked models in training."""

    def __init__(self, job: Job, tasks: Sequence[Task], device: torch.device) -> None:
        self.device = device
        self.rows = [torch.from_numpy(task.rows) for task in tasks]
        self.states: list[Tensor] = []
        self.members: list[Classifier] = []
        for task in tasks:
            torch.manual_seed(task.seed)
            member = recipes.start(build(job.dataset, job.recipe.arch), job.recipe.initial)
            self.states.append(torch.get_rng_state())
            self.members.append(place(member, device).train())
        torch.manual_seed(tasks[0].seed)
        self.params, self.buffers = stack_module_state(list[nn.Module](self.members))
        self.template = self.members[0]
        self.optimizer = make_optimizer(self.params.values(), job.recipe.config)

    def epoch(
        self, images: TrainingImages, labels: Tensor, config: TrainConfig
    ) -> list[tuple[float, float]]:
        """Pass once over the images; return each model's mean loss and accuracy."""
        models = len(self.members)
        losses = torch.zeros(models, device=self.device)
        correct = torch.zeros(models, dtype=torch.int64, device=self.device)
        for index in self._orders().split(config.batch_size, dim=1):
            index = index.to(self.device)
            present = index != NOTHING
            rows = index.clamp(min=0)
            batch = images.batch(rows.flatten())
            batch = batch.view(models, -1, *batch.shape[1:])
            loss, right = self._step(batch, labels[rows], present, config)
            losses += loss.detach() * present.sum(dim=1)
            correct += right
        counts = [len(rows) for rows in self.rows]
        return [(float(s) / n, int(c) / n) for s, c, n in zip(losses, correct, counts)]

    def _orders(self) -> Tensor:
        """Return each model's images in an order of its own, int64 [M, K], padded."""
        longest = max(len(rows) for rows in self.rows)
        orders = torch.full((len(self.rows), longest), NOTHING)
        outside = torch.get_rng_state()
        for number, rows in enumerate(self.rows):
            torch.set_rng_state(self.states[number])
            orders[number, : len(rows)] = rows[torch.randperm(len(rows))]
            self.states[number] = torch.get_rng_state()
        torch.set_rng_state(outside)
        return orders

    def _step(
        self, batch: Tensor, labels: Tensor, present: Tensor, config: TrainConfig
    ) -> tuple[Tensor, Tensor]:
        """Take a step with all models; return their losses and numbers of right answers."""

        def logits_of(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Any:
            return functional_call(self.template, (params, buffers), (x,))

        with autocast(config.precision, self.device):
            logits = vmap(logits_of, randomness="different")(self.params, self.buffers, batch)
        each = F.cross_entropy(
            logits.float().flatten(0, 1),
            labels.flatten(),
            label_smoothing=config.label_smoothing,
            reduction="none",
        ).view(labels.shape)
        # Models do not share weights, so the gradient of the sum is each model's own.
        loss = (each * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        self.optimizer.step()
        right = (logits.detach().argmax(dim=2) == labels) & present
        return loss, right.sum(dim=1)

    def models(self) -> list[Classifier]:
        """Return the models, each with weights of its own again."""
        for number, member in enumerate(self.members):
            state = {name: t[number].detach().clone() for name, t in self.params.items()}
            state |= {name: t[number].clone() for name, t in self.buffers.items()}
            member.load_state_dict(state)
        return self.members
