"""Images through a model: one forward pass gives features and logits."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trustmia.arrays import Float32, UInt8
from trustmia.compute import Precision, autocast
from trustmia.models import Classifier


@dataclass(frozen=True)
class Prediction:
    """A model's last two layers: features float32 [N, F], logits float32 [N, K], on the CPU."""

    features: Tensor
    logits: Tensor


def normalize(pixels: UInt8, factor: Float32, offset: Float32) -> Tensor:
    """Turn pixels into a model's input: pixel · factor + offset, by channel.

    Args:
        pixels: uint8 [N, C, H, W].
        factor: float32 [C].
        offset: float32 [C].

    Returns:
        float32 [N, C, H, W], channels last in memory.
    """
    images = torch.from_numpy(np.ascontiguousarray(pixels)).float()
    shape = (1, -1, 1, 1)
    images.mul_(torch.from_numpy(factor).view(shape)).add_(torch.from_numpy(offset).view(shape))
    return images.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def predict(
    model: Classifier, images: Tensor, batch_size: int = 100, precision: Precision = "fp32"
) -> Prediction:
    """Show images to a model once.

    Args:
        model: The classifier; it computes where its weights are.
        images: float32 [N, C, H, W], normalised.
        batch_size: Images per forward pass.
        precision: See `compute.use_bf16`.
    """
    model.eval()
    device = next(model.parameters()).device
    head = getattr(model, model.head_name)
    features, logits = [], []
    for batch in images.split(batch_size):
        with autocast(precision, device):
            batch = batch.to(device).contiguous(memory_format=torch.channels_last)
            batch_features = model.features(batch)
            logits.append(head(batch_features).float().cpu())
        features.append(batch_features.float().cpu())
    return Prediction(torch.cat(features), torch.cat(logits))
