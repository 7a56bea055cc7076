"""Registry of classifier architectures."""

from trustmia.classifiers.architectures.base import Architecture, Classifier
from trustmia.classifiers.architectures.efficientnet_b0 import EfficientNetB0
from trustmia.classifiers.architectures.resnet18 import ResNet18
from trustmia.classifiers.architectures.resnet50 import ResNet50
from trustmia.classifiers.architectures.salem_cnn import SalemCNN

ARCHITECTURES: dict[str, Architecture] = {
    "salem_cnn": SalemCNN,
    "resnet18": ResNet18,
    "efficientnet_b0": EfficientNetB0,
    "resnet50": ResNet50,
}

__all__ = ["ARCHITECTURES", "Architecture", "Classifier"]
