"""All that decides about a classifier's weights, and the one forward pass."""

from typing import Annotated

from pydantic import Field

from trustmia.settings import Count, Precision, Rate, Section

# How training images are varied (see `augmentation`).
AUGMENTATIONS = ("none", "rotate_crop_flip")


class TrainConfig(Section):
    """Hyperparameters of a classifier's training.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per step; the last step of an epoch takes what is left.
        lr: Learning rate of Adam, constant.
        weight_decay: L2 penalty added to the gradient.
        label_smoothing: Share of the target distribution spread over all classes.
        precision: See `compute.resolved`.
    """

    epochs: Count
    batch_size: Count
    lr: Rate
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    precision: Precision


class InferenceConfig(Section):
    """How a classifier is shown images.

    Attributes:
        batch_size: Images per forward pass.
        precision: See `compute.resolved`.
    """

    batch_size: Count
    precision: Precision
