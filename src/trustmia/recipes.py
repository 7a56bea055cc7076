"""From a recipe and images to a trained classifier with its card."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from trustmia.checkpoints import Card, Checkpoint, data_card, versions
from trustmia.classifiers import build, prepare
from trustmia.datasets import Dataset, Images
from trustmia.errors import UserError
from trustmia.models import Classifier
from trustmia.prediction import predict
from trustmia.training import Batchable, EpochResult, TrainConfig, train_classifier


@dataclass(frozen=True)
class Recipe:
    """All that decides about a classifier's weights but for its images.

    Attributes:
        arch: Name of the architecture.
        config: Hyperparameters.
        seed: Seed of this one training.
        params: The parameters that the above came from, by their full keys, for the card.
        lr_key: Key of the learning rate, for messages.
    """

    arch: str
    config: TrainConfig
    seed: int
    params: dict[str, Any]
    lr_key: str


def train(
    dataset: Dataset,
    train_images: Images,
    test_images: Images,
    recipe: Recipe,
    device: torch.device,
    on_epoch: Callable[[EpochResult], None],
) -> Checkpoint:
    """Train a classifier from scratch.

    Raises:
        UserError: The loss is no longer finite.
    """
    history: list[dict[str, float]] = []

    def note(result: EpochResult) -> None:
        history.append(asdict(result))
        on_epoch(result)

    train_part, test_part = (
        Batchable(prepare(dataset, images), torch.from_numpy(images.labels))
        for images in (train_images, test_images)
    )
    try:
        model = train_classifier(
            lambda: build(dataset, recipe.arch),
            train_part,
            test_part,
            recipe.config,
            recipe.seed,
            device,
            note,
        )
    except FloatingPointError as error:
        raise UserError(
            f"{error} with {recipe.lr_key}={recipe.config.lr}; choose a smaller {recipe.lr_key}"
        ) from error
    card: Card = {
        "kind": "classifier",
        "arch": recipe.arch,
        "params": recipe.params,
        "data": data_card(dataset.name, train_images),
        "metrics": final_metrics(model, train_part, test_part),
        "history": history,
        "versions": versions(),
    }
    return Checkpoint(model.state_dict(), card)


def final_metrics(
    model: Classifier, train_part: Batchable, test_part: Batchable
) -> dict[str, dict[str, float]]:
    """Return loss (without smoothing) and accuracy of the finished model on both parts."""
    metrics = {}
    for name, part in (("train", train_part), ("test", test_part)):
        logits = predict(model, part.images).logits
        metrics[name] = {
            "loss": float(torch.nn.functional.cross_entropy(logits, part.labels)),
            "accuracy": float((logits.argmax(1) == part.labels).float().mean()),
        }
    return metrics
