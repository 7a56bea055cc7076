"""From a recipe and images to a trained classifier with its card."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from trustmia.classifiers import TrainConfig
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.augmented import AugmentedInputs
from trustmia.classifiers.inference import predict
from trustmia.classifiers.inputs import build, prepare, restore
from trustmia.classifiers.training import EpochResult, Labelled, TrainingImages, train_classifier
from trustmia.errors import UserError
from trustmia.images.base import Dataset, Images
from trustmia.images.prepared import Uncropped
from trustmia.runtime.checkpoints import Card, Checkpoint, data_card, versions


@dataclass(frozen=True)
class Recipe:
    """All that decides about a classifier's weights but for its images.

    Attributes:
        arch: Name of the architecture.
        config: Hyperparameters.
        seed: Seed of this one training.
        params: The parameters that the above came from, by their full keys, for the card.
        remedy: What to do where the loss is no longer finite, for people.
        initial: Weights that training starts from; what they lack or have in another
            shape, such as the last layer, starts at random.
    """

    arch: str
    config: TrainConfig
    seed: int
    params: dict[str, Any]
    remedy: str
    initial: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class TrainingData:
    """What a classifier is trained and tested on.

    Attributes:
        train: Training images.
        test: Held-out images for the accuracy.
        uncropped: The training images before they are cropped, where they are to be
            augmented; else None.
    """

    train: Images
    test: Images
    uncropped: Uncropped | None = None


def train(
    dataset: Dataset,
    data: TrainingData,
    recipe: Recipe,
    device: torch.device,
    on_epoch: Callable[[EpochResult], None] | None,
) -> Checkpoint:
    """Train a classifier.

    `on_epoch` is called after every epoch. Without it nobody watches, and test accuracy is
    measured only once, of the finished model.

    Raises:
        UserError: The loss is no longer finite.
    """
    history: list[dict[str, float | None]] = []

    def note(result: EpochResult) -> None:
        history.append(asdict(result))
        if on_epoch is not None:
            on_epoch(result)

    images = training_images(dataset, data.train, data.uncropped)
    test = Labelled(prepare(dataset, data.test), torch.from_numpy(data.test.labels))
    try:
        model = train_classifier(
            lambda: start(build(dataset, recipe.arch), recipe.initial),
            Labelled(images, torch.from_numpy(data.train.labels)),
            test if on_epoch is not None else None,
            recipe.config,
            recipe.seed,
            device,
            note,
        )
    except FloatingPointError as error:
        raise diverged(error, recipe) from error
    return finished(dataset, data, recipe, model.to(device), history)


def training_images(
    dataset: Dataset, images: Images, uncropped: Uncropped | None
) -> TrainingImages:
    """Return images as a model sees them in training; `uncropped` if they are augmented."""
    inputs = prepare(dataset, images)
    if uncropped is None:
        return inputs
    return AugmentedInputs(uncropped, dataset.size, inputs.normalize)


def diverged(error: FloatingPointError, recipe: Recipe) -> UserError:
    """Say what to do about a loss that is no longer finite."""
    return UserError(f"{error} {recipe.remedy}")


def finished(
    dataset: Dataset,
    data: TrainingData,
    recipe: Recipe,
    model: Classifier,
    history: list[dict[str, float | None]],
) -> Checkpoint:
    """Return a trained network with its card; its metrics are measured where it is."""
    card: Card = {
        "kind": "classifier",
        "arch": recipe.arch,
        "params": recipe.params,
        "data": data_card(dataset.name, data.train),
        "metrics": final_metrics(dataset, data, model),
        "history": history,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    return Checkpoint(model.cpu().state_dict(), card)


def measured(
    dataset: Dataset, data: TrainingData, checkpoint: Checkpoint, device: torch.device
) -> Checkpoint:
    """Return a checkpoint of unknown history with what can be measured now in its card."""
    metrics = final_metrics(dataset, data, restore(dataset, checkpoint).to(device))
    epoch = EpochResult(
        epoch=checkpoint.card["params"]["train.epochs"],
        train_loss=metrics["train"]["loss"],
        train_accuracy=metrics["train"]["accuracy"],
        test_accuracy=metrics["test"]["accuracy"],
    )
    measures = {"metrics": metrics, "history": [asdict(epoch)]}
    return Checkpoint(checkpoint.tensors, checkpoint.card | measures)


def start(model: Classifier, initial: dict[str, Tensor] | None) -> Classifier:
    """Give a network its initial weights, but for layers of another shape."""
    if initial is not None:
        own = model.state_dict()
        fitting = {k: t for k, t in initial.items() if k in own and t.shape == own[k].shape}
        model.load_state_dict(own | fitting)
    return model


def final_metrics(
    dataset: Dataset, data: TrainingData, model: Classifier
) -> dict[str, dict[str, float]]:
    """Return loss (without smoothing) and accuracy of the finished model on both parts."""
    metrics = {}
    for name, images in (("train", data.train), ("test", data.test)):
        logits = predict(model, prepare(dataset, images)).logits
        labels = torch.from_numpy(images.labels)
        metrics[name] = {
            "loss": float(torch.nn.functional.cross_entropy(logits, labels)),
            "accuracy": float((logits.argmax(1) == labels).float().mean()),
        }
    return metrics
