"""Registry of classifier architectures."""

from typing import TYPE_CHECKING

from trustmia.registry import Registry

if TYPE_CHECKING:
    from trustmia.classifiers.architectures.base import Architecture

ARCHITECTURES: "Registry[Architecture]" = Registry(
    {
        "salem_cnn": "trustmia.classifiers.architectures.salem_cnn:SalemCNN",
        "resnet18": "trustmia.classifiers.architectures.resnet18:ResNet18",
        "efficientnet_b0": "trustmia.classifiers.architectures.efficientnet_b0:EfficientNetB0",
        "resnet50": "trustmia.classifiers.architectures.resnet50:ResNet50",
    }
)
