"""How `params.yaml` says that classifiers are trained."""

from trustmia import paths
from trustmia.classifiers import TrainConfig
from trustmia.classifiers.initial_weights import read_initial_weights
from trustmia.classifiers.recipe import Recipe
from trustmia.params import TrainParams
from trustmia.runtime.compute import resolved

# What of the section decides about weights, in the order of the card.
DECISIVE = ("arch", "initial_weights", "augmentation", *TrainConfig.model_fields)


def classifier_recipe(train: TrainParams, seed: int, scratch: bool) -> Recipe:
    """Return what decides about a classifier's weights but for its images.

    Args:
        train: The section `train`.
        seed: Seed of this one training.
        scratch: The classifier is trained here, so that its initial weights are needed.

    Raises:
        UserError: The initial weights are missing or unreadable.
    """
    # What `auto` stands for is settled here: models that are compared compute alike, whichever
    # machines train them.
    train = train.model_copy(update={"precision": resolved(train.precision)})
    initial = None
    if train.initial_weights is not None and scratch:
        initial = read_initial_weights(paths.INITIAL_WEIGHTS / train.initial_weights)
    return Recipe(
        arch=train.arch,
        config=train,
        seed=seed,
        params={f"train.{key}": getattr(train, key) for key in DECISIVE},
        remedy=f"with train.lr={train.lr}; choose a smaller train.lr",
        initial=initial,
    )
