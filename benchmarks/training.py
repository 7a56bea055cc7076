"""The training loop against its bare arithmetic."""

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.timing import side_by_side
from trustmia.classifiers import TrainConfig
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.classifiers.inference import as_inputs
from trustmia.classifiers.inputs import normalization
from trustmia.classifiers.training import Labelled, make_optimizer, train_epoch
from trustmia.runtime.compute import autocast, pick_device, place

IMAGES = 2500
ROUNDS = 15


def report() -> str:
    """Return the share of the bare loop's images per second that training reaches."""
    config = TrainConfig(
        epochs=1, batch_size=64, lr=0.001, weight_decay=0, label_smoothing=0, precision="auto"
    )
    device = pick_device()
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(256, size=(IMAGES, 1, 28, 28), dtype=np.uint8)
    inputs = as_inputs(pixels, *normalization((0.2860,), (0.3530,)))
    data = Labelled(inputs, torch.randint(10, (IMAGES,))).to(device)
    model = place(ARCHITECTURES["salem_cnn"](1, 28, 10), device)
    optimizer = make_optimizer(model.parameters(), config)
    images = data.images.batch(torch.arange(IMAGES))
    batches = list(zip(images.split(64), data.labels.split(64)))

    def bare() -> None:
        for x, y in batches:
            with autocast("auto", device):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    def ours() -> None:
        train_epoch(model, data, optimizer, config)

    _, _, ratio = side_by_side(ours, bare, ROUNDS)
    return f"training: {ratio:.1%} of the images per second of the bare loop"
