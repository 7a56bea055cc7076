"""What the pipeline asks of a classifier."""

from typing import Protocol

from torch import Tensor, nn


class Classifier(nn.Module):
    """A network whose last step is one linear layer.

    Subclasses compute `features`; the linear layer is the attribute named by
    `head_name`, which the last-layer Laplace approximation needs.
    """

    head_name = "out"

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate features, float [N, F], of images float [N, C, H, W]."""
        raise TypeError(f"{type(self).__name__} does not define features")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, float [N, K], of normalised images, float [N, C, H, W]."""
        logits: Tensor = getattr(self, self.head_name)(self.features(images))
        return logits


class Architecture(Protocol):
    """Builds a classifier of square images.

    They have `channels` colour channels; `size` is their height and width in pixels, at least 4.
    """

    def __call__(self, channels: int, size: int, num_classes: int) -> Classifier: ...
