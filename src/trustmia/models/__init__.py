"""Registry of classifier architectures."""

from trustmia.models.base import Architecture, Classifier
from trustmia.models.efficientnet_b0 import EfficientNetB0
from trustmia.models.resnet18 import ResNet18
from trustmia.models.resnet50 import ResNet50
from trustmia.models.salem_cnn import SalemCNN

ARCHITECTURES: dict[str, Architecture] = {
    "salem_cnn": SalemCNN,
    "resnet18": ResNet18,
    "efficientnet_b0": EfficientNetB0,
    "resnet50": ResNet50,
}

__all__ = ["ARCHITECTURES", "Architecture", "Classifier"]
