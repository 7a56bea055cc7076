"""Images through a model: one forward pass gives features and logits."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from trustmia.arrays import Float32, UInt8
from trustmia.classifiers.architectures.base import Classifier
from trustmia.runtime.compute import autocast
from trustmia.settings import Precision


@dataclass(frozen=True)
class Prediction:
    """A model's last two layers: features float32 [N, F], logits float32 [N, K], on the CPU."""

    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Normalization:
    """The affine map from pixels to a model's input: pixel · factor + offset.

    Attributes:
        factor: float32 [1, C, 1, 1].
        offset: float32 [1, C, 1, 1].
    """

    factor: Tensor
    offset: Tensor

    def to(self, device: torch.device) -> "Normalization":
        """Compute on a device."""
        return Normalization(self.factor.to(device), self.offset.to(device))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalise float32 [K, C, H, W] in [0, 255] in place; return it channels last."""
        pixels.mul_(self.factor).add_(self.offset)
        return pixels.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Inputs:
    """Images as a model sees them.

    Attributes:
        pixels: uint8 [N, C, H, W]; may be memory-mapped.
        normalize: What makes them the model's input.
    """

    pixels: Tensor
    normalize: Normalization

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device) -> Self:
        """Move the images to a device, where batches are then made."""
        return replace(self, pixels=self.pixels.to(device), normalize=self.normalize.to(device))

    def batch(self, index: Tensor) -> Tensor:
        """Return the images at int64 [K]: float32 [K, C, H, W], channels last."""
        return self.normalize(self.pixels[index].float())


def as_inputs(pixels: UInt8, factor: Float32, offset: Float32) -> Inputs:
    """Return images, uint8 [N, C, H, W], as a model's input; factor and offset are float32 [C]."""
    affine = (torch.from_numpy(part).view(1, -1, 1, 1) for part in (factor, offset))
    return Inputs(torch.from_numpy(pixels), Normalization(*affine))


@torch.no_grad()
def predict(
    model: Classifier, images: Inputs, batch_size: int = 100, precision: Precision = "fp32"
) -> Prediction:
    """Show images to a model once, which computes where its weights are.

    `batch_size` is the number of images per forward pass; for `precision` see `compute.resolved`.
    """
    model.eval()
    device = next(model.parameters()).device
    head = getattr(model, model.head_name)
    normalize = images.normalize.to(device)
    features, logits = [], []
    for pixels in images.pixels.split(batch_size):
        with autocast(precision, device):
            batch_features = model.features(normalize(pixels.to(device).float()))
            logits.append(head(batch_features).float().cpu())
        features.append(batch_features.float().cpu())
    return Prediction(torch.cat(features), torch.cat(logits))
