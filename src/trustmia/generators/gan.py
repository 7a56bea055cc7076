"""A class-conditional GAN for small grey or colour images.

Generator: class-conditional batch normalisation (Dumoulin et al. 2017, "A Learned
Representation for Artistic Style"). Discriminator: spectral normalisation (Miyato et
al. 2018) with a projection of the class (Miyato & Koyama 2018).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are looked up by class."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(num_classes, channels)
        self.bias = nn.Embedding(num_classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        gain, bias = self.gain(labels), self.bias(labels)
        if self.training:
            x = self.norm(x)
        else:
            # With fixed statistics it is one affine map by image and channel, which saves
            # a pass over the activations and keeps their precision.
            mean, variance = map(self.norm.get_buffer, ("running_mean", "running_var"))
            gain = gain * (variance + self.norm.eps).rsqrt()
            bias = bias - gain * mean
            gain, bias = gain.to(x.dtype), bias.to(x.dtype)
        return torch.addcmul(bias[:, :, None, None], x, gain[:, :, None, None])


class UpBlock(nn.Module):
    """Doubles height and width by a transposed convolution.

    Kernel 4 with stride 2 covers every output pixel equally often, which avoids the
    chequerboard of other sizes.
    """

    def __init__(self, inputs: int, outputs: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
        self.norm = ConditionalBatchNorm(outputs, num_classes)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x), labels))


class Generator(nn.Module):
    """Maps latents and classes to images.

    Args:
        num_classes: Number of classes.
        image_channels: Channels of an image.
        image_size: Height and width in pixels, a multiple of 4.
        latent_dim: Length of a latent vector.
        width: Channels at full resolution; coarser layers have two and four times as many.
    """

    def __init__(
        self, num_classes: int, image_channels: int, image_size: int, latent_dim: int, width: int
    ) -> None:
        super().__init__()
        self.base = image_size // 4
        self.channels = 4 * width
        self.project = nn.Linear(latent_dim, self.channels * self.base**2, bias=False)
        self.norm = ConditionalBatchNorm(self.channels, num_classes)
        self.up1 = UpBlock(4 * width, 2 * width, num_classes)
        self.up2 = UpBlock(2 * width, width, num_classes)
        self.image = nn.Conv2d(width, image_channels, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Draw images, float [N, C, H, W] in [-1, 1].

        Args:
            latents: float32 [N, latent_dim], standard normal.
            labels: int64 [N], classes.
        """
        h = self.project(latents).unflatten(1, (self.base, self.base, self.channels))
        h = F.relu(self.norm(h.permute(0, 3, 1, 2), labels))
        h = self.up2(self.up1(h, labels), labels)
        return torch.tanh(self.image(h))


class Discriminator(nn.Module):
    """Scores how real an image of a class looks; higher is more real.

    The first layer has `width` channels; deeper ones have two and four times as many.
    """

    def __init__(self, num_classes: int, image_channels: int, width: int) -> None:
        super().__init__()
        widths = [(image_channels, width, 3, 1), (width, width, 4, 2)]
        widths += [(width, 2 * width, 3, 1), (2 * width, 2 * width, 4, 2)]
        widths += [(2 * width, 4 * width, 3, 1)]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(i, o, kernel, stride, padding=1))
            for i, o, kernel, stride in widths
        )
        self.realness = spectral_norm(nn.Linear(4 * width, 1))
        self.classes = spectral_norm(nn.Embedding(num_classes, 4 * width))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Score images, float [N, C, H, W] in [-1, 1], of classes int64 [N]: float [N]."""
        h = images
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.1)
        features = h.sum(dim=(2, 3)) / h.shape[3]  # as large as they vary, at any size
        return self.realness(features).squeeze(1) + (self.classes(labels) * features).sum(1)
