"""What a calibration is: a map from a model's last layer to prediction scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from trustmia.calibration.settings import LllaParams
from trustmia.classifiers.inference import Prediction


class Calibration(Protocol):
    """A fitted calibration."""

    def logits(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return calibrated logits, float32 [N, K].

        They are of logits, float32 [N, K], and penultimate features, float32 [N, F]. Attacks with
        reference models read these, since float32 scores near 1 are equal where logits still
        differ.
        """

    def tensors(self) -> dict[str, Tensor]:
        """Return all that `Method.load` needs."""

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return prediction scores, float32 [N, K] in [0, 1]: the softmax of calibrated logits."""
        return torch.softmax(self.logits(features, logits), dim=1)


@dataclass(frozen=True)
class FitInputs:
    """What a calibration may be fitted on.

    Attributes:
        train: Features and logits of the model's training images, in their order.
        validation: The same of held-out images.
        validation_labels: int64 [V].
        noise: The same of noise images, for the prior `paper`.
        temperature: `calibration.temperature`.
        llla: `calibration.llla`.
        seed: What random draws derive from.
    """

    train: Prediction
    validation: Prediction
    validation_labels: Tensor
    noise: Prediction | None
    temperature: float | Literal["fit"]
    llla: LllaParams
    seed: int


@dataclass(frozen=True)
class Method:
    """A calibration method: how it is fitted, and read back from its tensors."""

    fit: Callable[[FitInputs], Calibration]
    load: Callable[[dict[str, Tensor]], Calibration]
