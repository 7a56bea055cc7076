"""How `params.yaml` says that classifiers are trained."""

from trustmia import paths
from trustmia.classifiers.initial_weights import read_initial_weights
from trustmia.classifiers.recipe import Recipe
from trustmia.classifiers.training import TrainConfig
from trustmia.params import TrainParams
from trustmia.runtime.compute import pick_device, resolved


def classifier_recipe(train: TrainParams, seed: int, scratch: bool) -> Recipe:
    """Return what decides about a classifier's weights but for its images.

    Args:
        train: The section `train`.
        seed: Seed of this one training.
        scratch: The classifier is trained here, so that its initial weights are needed.

    Raises:
        UserError: The initial weights are missing or unreadable.
    """
    values = train.model_dump(exclude={"source"})
    # What `auto` stands for is settled here: models that are compared compute alike, whichever
    # machines train them.
    values["precision"] = resolved(train.precision, pick_device())
    initial = None
    if train.initial_weights is not None and scratch:
        initial = read_initial_weights(paths.INITIAL_WEIGHTS / train.initial_weights)
    return Recipe(
        arch=train.arch,
        config=TrainConfig(**{key: values[key] for key in TrainConfig.__dataclass_fields__}),
        seed=seed,
        params={f"train.{key}": value for key, value in values.items()},
        remedy=f"with train.lr={train.lr}; choose a smaller train.lr",
        initial=initial,
    )
