"""ResNet-18 (He et al. 2016) in its small-image form.

The stem is one 3×3 convolution without stride or pooling, so that images from 28 pixels
up keep their resolution. Module names are those of the well-known CIFAR-10 models.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from trustmia.classifiers.architectures.base import Classifier


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + self.shortcut(x))


class ResNet18(Classifier):
    """Four stages of two blocks with 64, 128, 256 and 512 channels; images may have any size."""

    head_name = "linear"

    def __init__(self, channels: int, size: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.linear = nn.Linear(512, num_classes)

    def features(self, images: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(images)))
        h = self.layer4(self.layer3(self.layer2(self.layer1(h))))
        return F.adaptive_avg_pool2d(h, 1).flatten(1)
