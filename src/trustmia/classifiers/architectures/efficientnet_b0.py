"""EfficientNet-B0 (Tan & Le 2019) in its small-image form.

The stem has no stride, and the stages halve the image four times, as in the well-known
CIFAR-10 models, whose module names these are. As in theirs, and unlike in the paper of Tan & Le,
no residual is dropped in training.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from trustmia.classifiers.architectures.base import Classifier

# Expansion, output channels, blocks, kernel size, stride of the first block.
STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
DROPOUT = 0.2


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole image shows."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.se1 = nn.Conv2d(channels, squeezed, 1)
        self.se2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = F.adaptive_avg_pool2d(x, 1)
        weights = self.se2(F.silu(self.se1(weights))).sigmoid()
        return x * weights


class MBConv(nn.Module):
    """Inverted bottleneck with depthwise convolution and squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = expansion * inputs
        self.expansion = expansion
        # Not used where nothing is expanded, but there, as in the well-known models, so
        # that their state dicts fit.
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, kernel, stride, padding=kernel // 2, groups=width, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.se = SqueezeExcite(width, max(1, inputs // 4))
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expansion == 1 else F.silu(self.bn1(self.conv1(x)))
        h = self.se(F.silu(self.bn2(self.conv2(h))))
        h = self.bn3(self.conv3(h))
        return x + h if self.has_skip else h


class EfficientNetB0(Classifier):
    """Sixteen inverted bottlenecks in seven stages; images may have any size."""

    head_name = "linear"

    def __init__(self, channels: int, size: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.layers = nn.Sequential(*_blocks())
        self.linear = nn.Linear(STAGES[-1][1], num_classes)

    def features(self, images: Tensor) -> Tensor:
        h = self.layers(F.silu(self.bn1(self.conv1(images))))
        h = F.adaptive_avg_pool2d(h, 1).flatten(1)
        return F.dropout(h, DROPOUT, self.training)


def _blocks() -> list[MBConv]:
    """Build all blocks."""
    blocks: list[MBConv] = []
    inputs = 32
    for expansion, outputs, repeats, kernel, first_stride in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            blocks.append(MBConv(inputs, outputs, kernel, stride, expansion))
            inputs = outputs
    return blocks
