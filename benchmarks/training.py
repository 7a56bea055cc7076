"""The training loop against its bare arithmetic."""

import torch
from torch.nn import functional as F

from benchmarks.timing import side_by_side
from trustmia.compute import autocast, pick_device, place
from trustmia.models import ARCHITECTURES
from trustmia.training import Batchable, TrainConfig, make_optimizer, train_epoch

IMAGES = 2500
ROUNDS = 15


def report() -> str:
    """Return the share of the bare loop's images per second that training reaches."""
    config = TrainConfig(1, 64, 0.001, 0.0, 0.0, "auto")
    device = pick_device()
    torch.manual_seed(0)
    images = torch.randn(IMAGES, 1, 28, 28)
    data = Batchable(images, torch.randint(10, (IMAGES,))).to(device)
    model = place(ARCHITECTURES["salem_cnn"](1, 28, 10), device)
    optimizer = make_optimizer(model, config)
    batches = list(zip(data.images.split(64), data.labels.split(64)))

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
