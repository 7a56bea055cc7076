"""Every architecture fits every image shape that a data set may have."""

import json
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.helpers import REFERENCE
from trustmia.classifiers.architectures import ARCHITECTURES, efficientnet_b0
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.architectures.salem_cnn import SalemCNN

PUBLISHED: dict[str, Any] = json.loads((REFERENCE / "networks_expected.json").read_text())
CLASSES = 7
# The first block does not expand; it keeps the layer only for the usual names.
UNUSED = {"efficientnet_b0": [f"layers.0.{p}" for p in ("conv1.weight", "bn1.weight", "bn1.bias")]}


def build(arch: str, channels: int = 1, size: int = 28) -> Classifier:
    torch.manual_seed(0)
    return ARCHITECTURES[arch](channels, size, CLASSES).eval()


def head_of(model: Classifier) -> nn.Linear:
    head = getattr(model, model.head_name)
    assert isinstance(head, nn.Linear)
    return head


@pytest.mark.parametrize("size", [28, 32, 40])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_shapes_fit_and_gradients_reach_every_parameter(
    arch: str, channels: int, size: int
) -> None:
    model = build(arch, channels, size)
    images = torch.randn(3, channels, size, size)
    assert model.features(images).shape == (3, head_of(model).in_features)
    logits = model(images)
    assert logits.shape == (3, CLASSES)
    logits.square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == UNUSED.get(arch, [])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_logits_are_the_head_of_the_features_alone_and_in_company(arch: str) -> None:
    # In float64, since kernels for other sizes of a batch round differently.
    model = build(arch).double()
    images = torch.randn(4, 1, 28, 28).double()
    assert torch.equal(model(images), head_of(model)(model.features(images)))
    torch.testing.assert_close(model(images)[:1], model(images[:1]))


def test_salem_cnn_has_the_usual_parameter_names() -> None:
    names = [name for name, _ in SalemCNN(1, 28, 10).named_parameters()]
    layers = ("model.0", "model.3", "model.7", "out")
    assert names == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def published_weight(name: str, shape: torch.Size) -> Tensor:
    """Return a weight of the networks that the published code was asked about."""
    rng = np.random.default_rng([PUBLISHED["seed"], zlib.crc32(name.encode())])
    drawn = torch.from_numpy(rng.standard_normal(tuple(shape)).astype(np.float32))
    if name.endswith("running_var"):
        return 1 + 0.1 * drawn.abs()
    if drawn.ndim == 1:
        return 0.1 * drawn + float(name.endswith("weight"))
    return drawn * (2 / drawn[0].numel()) ** 0.5


def published_network(arch: str) -> Classifier:
    model = ARCHITECTURES[arch](3, 32, 10)
    state = model.state_dict()
    drawn = {k: published_weight(k, t.shape) for k, t in state.items() if t.is_floating_point()}
    model.load_state_dict(state | drawn)
    return model


@pytest.mark.parametrize("arch", PUBLISHED["networks"])
def test_networks_are_those_of_the_published_code(
    arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(efficientnet_b0, "DROPOUT", 0.0)
    expected = PUBLISHED["networks"][arch]
    drawn = np.random.default_rng([PUBLISHED["seed"], 7]).standard_normal((8, 3, 32, 32))
    images = torch.from_numpy(drawn.astype(np.float32))
    for mode in ("evaluation", "training"):
        model = published_network(arch).train(mode == "training")
        logits = model(images).detach().numpy()
        np.testing.assert_allclose(logits, expected[mode], atol=1e-3)
    model = published_network(arch).train()
    decay = expected["weight_decay"]
    optimizer = torch.optim.Adam(model.parameters(), expected["lr"], weight_decay=decay)
    losses = []
    for _ in expected["losses"]:
        loss = F.cross_entropy(model(images), torch.arange(8))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses == pytest.approx(expected["losses"], abs=1e-2)
