"""Every architecture fits every image shape that a data set may have."""

import pytest
import torch
from torch import nn

from trustmia.models import ARCHITECTURES, Classifier
from trustmia.models.salem_cnn import SalemCNN

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
def test_logits_are_the_head_of_the_features(arch: str) -> None:
    model = build(arch)
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(model(images), head_of(model)(model.features(images)))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_an_image_is_seen_the_same_alone_and_in_company(arch: str) -> None:
    # In float64, since kernels for other sizes of a batch round differently.
    model = build(arch).double()
    images = torch.randn(4, 1, 28, 28).double()
    torch.testing.assert_close(model(images)[:1], model(images[:1]))


def test_salem_cnn_has_the_usual_parameter_names() -> None:
    names = [name for name, _ in SalemCNN(1, 28, 10).named_parameters()]
    layers = ("model.0", "model.3", "model.7", "out")
    assert names == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
