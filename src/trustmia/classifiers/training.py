"""The one training loop of classifiers."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from trustmia.classifiers import TrainConfig
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inference import Inputs, predict
from trustmia.classifiers.memory import keep_freed_memory
from trustmia.runtime.compute import autocast, place, reproducible
from trustmia.settings import Precision

ImagesT_co = TypeVar("ImagesT_co", bound="TrainingImages", covariant=True)


@dataclass(frozen=True)
class EpochResult:
    """What an epoch reached; accuracies are fractions.

    Attributes:
        epoch: Number, from 1.
        train_loss: Mean loss over the epoch's steps, label smoothing included.
        train_accuracy: Share of training images classified correctly as they were seen.
        test_accuracy: Accuracy on the test images after the epoch; None if not measured.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float | None


class TrainingImages(Protocol):
    """Images in random access, as a model sees them."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> Self:
        """Make batches on a device."""

    def batch(self, index: Tensor) -> Tensor:
        """Return float32 [K, C, H, W], channels last, of the images at int64 [K]."""


@dataclass(frozen=True)
class Labelled(Generic[ImagesT_co]):
    """Images with their labels, int64 [N]."""

    images: ImagesT_co
    labels: Tensor

    def to(self, device: torch.device) -> "Labelled[ImagesT_co]":
        """Move both to a device."""
        return Labelled(self.images.to(device), self.labels.to(device))


def train_epoch(
    model: Classifier,
    train: Labelled[TrainingImages],
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
) -> tuple[float, float]:
    """Pass once over the training images in random order.

    Returns:
        Mean loss, and share of images classified correctly as they were seen.
    """
    device = train.labels.device
    model.train()
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for index in torch.randperm(len(train.labels), device=device).split(config.batch_size):
        images, labels = train.images.batch(index), train.labels[index]
        with autocast(config.precision, device):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(index)
        correct += (logits.detach().argmax(1) == labels).sum()
    return float(loss_sum) / len(train.labels), int(correct) / len(train.labels)


def make_optimizer(parameters: Iterable[Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam as the paper uses it, its update in one fused kernel."""
    return torch.optim.Adam(parameters, config.lr, weight_decay=config.weight_decay, fused=True)


def require_finite(loss: float, epoch: int) -> None:
    """Refuse to go on after an epoch whose mean loss is no number.

    Raises:
        FloatingPointError: It is not finite.
    """
    if not math.isfinite(loss):
        raise FloatingPointError(f"the training loss is not finite in epoch {epoch}")


def train_classifier(
    build: Callable[[], Classifier],
    train: Labelled[TrainingImages],
    test: Labelled[Inputs] | None,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[EpochResult], None],
) -> Classifier:
    """Build and train a classifier; the same seed gives the same weights on one machine.

    Args:
        build: Makes the untrained network.
        train: Training images.
        test: Images for the test accuracy after each epoch; None if it is not wanted.
        config: Hyperparameters.
        seed: Seed of the initial weights, the order of the images and dropout.
        device: Where to train.
        on_epoch: Called after every epoch.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        FloatingPointError: The loss is no longer finite.
    """
    keep_freed_memory()
    train, test = train.to(device), None if test is None else test.to(device)
    with reproducible(seed):
        model = place(build(), device)
        optimizer = make_optimizer(model.parameters(), config)
        for epoch in range(1, config.epochs + 1):
            loss, accuracy = train_epoch(model, train, optimizer, config)
            require_finite(loss, epoch)
            test_accuracy = None if test is None else accuracy_on(model, test, config.precision)
            on_epoch(EpochResult(epoch, loss, accuracy, test_accuracy))
        return model.cpu().eval()


def accuracy_on(model: Classifier, test: Labelled[Inputs], precision: Precision) -> float:
    """Return the share of images that a model classifies correctly."""
    logits = predict(model, test.images, precision=precision).logits
    return (logits.argmax(1) == test.labels.cpu()).float().mean().item()
