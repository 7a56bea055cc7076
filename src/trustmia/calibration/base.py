"""What a calibration is: a map from a model's last layer to prediction scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn


class Calibration(Protocol):
    """A fitted calibration."""

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return prediction scores.

        Args:
            features: float32 [N, F], penultimate features.
            logits: float32 [N, K].

        Returns:
            float32 [N, K] in [0, 1]; rows sum to 1.
        """

    def logits(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return calibrated logits, float32 [N, K]: their softmax is `scores`.

        Attacks with reference models read these, since float32 scores near 1 are equal
        where logits still differ.
        """

    def tensors(self) -> dict[str, Tensor]:
        """Return all that `Method.load` needs."""


@dataclass(frozen=True)
class FitInputs:
    """What a calibration may be fitted on.

    Attributes:
        head: The model's last linear layer.
        train_features: float32 [N, F] of the model's training images.
        train_labels: int64 [N].
        validation_features: float32 [V, F] of held-out images.
        validation_logits: float32 [V, K].
        validation_labels: int64 [V].
        temperature: `calibration.temperature`.
    """

    head: nn.Linear
    train_features: Tensor
    train_labels: Tensor
    validation_features: Tensor
    validation_logits: Tensor
    validation_labels: Tensor
    temperature: float | Literal["fit"]


@dataclass(frozen=True)
class Method:
    """A calibration method: how it is fitted, and read back from its tensors."""

    fit: Callable[[FitInputs], Calibration]
    load: Callable[[nn.Linear, dict[str, Tensor]], Calibration]
