"""ResNet-50 (He et al. 2016), torchvision's, whose ImageNet weights fit it."""

from torch import Tensor, nn

from trustmia.classifiers.architectures.base import Classifier
from trustmia.torchvision_compat import declare_missing_operators


class ResNet50(Classifier):
    """Four stages of 3, 4, 6 and 3 bottlenecks behind a stem that quarters the image.

    The modules have torchvision's names, so that its state dicts fit. Images may have any size.
    """

    head_name = "fc"

    def __init__(self, channels: int, size: int, num_classes: int) -> None:
        super().__init__()
        declare_missing_operators()
        from torchvision.models import resnet50

        for name, module in resnet50(num_classes=num_classes).named_children():
            self.add_module(name, module)
        if channels != 3:
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)

    def features(self, images: Tensor) -> Tensor:
        h = images
        for name, module in self.named_children():
            if name != self.head_name:
                h = module(h)
        return h.flatten(1)
