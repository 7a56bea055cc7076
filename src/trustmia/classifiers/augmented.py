"""Training images that are rotated, cropped and mirrored anew each time they are seen."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from trustmia.classifiers import augmentation
from trustmia.classifiers.inference import Normalization
from trustmia.images.prepared import Uncropped


@dataclass(frozen=True)
class AugmentedInputs:
    """Images before they are cropped, and how a model sees the crops.

    Attributes:
        uncropped: The images, on the CPU, memory-mapped.
        size: Height and width of the crops.
        normalize: Normalises the crops on the device where batches are made.
    """

    uncropped: Uncropped
    size: int
    normalize: Normalization

    def __len__(self) -> int:
        return len(self.uncropped)

    def to(self, device: torch.device) -> Self:
        """Make batches on a device; the images stay on the CPU."""
        return replace(self, normalize=self.normalize.to(device))

    def batch(self, index: Tensor) -> Tensor:
        """Return float32 [K, C, size, size], channels last, of new random crops."""
        images = [self.uncropped[i] for i in index.tolist()]
        sizes = torch.tensor([image.shape[:0:-1] for image in images])
        choices = augmentation.draw(sizes, self.size)
        device = self.normalize.factor.device
        crops = augmentation.apply(images, choices, self.size, device)
        return self.normalize(crops)
