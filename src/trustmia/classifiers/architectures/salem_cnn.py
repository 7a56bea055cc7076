"""The small CNN of Salem et al. 2019 ("ML-Leaks"), with ReLU as in the paper."""

from torch import Tensor, nn

from trustmia.classifiers.architectures.base import Classifier


class SalemCNN(Classifier):
    """Two 5×5 convolutions of 32 channels, each with max-pooling, and 128 hidden units."""

    def __init__(self, channels: int, size: int, num_classes: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (size // 4) ** 2, 128),
            nn.ReLU(),
        )
        self.out = nn.Linear(128, num_classes)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(images)
        return features
