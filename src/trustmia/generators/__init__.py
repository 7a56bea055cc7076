"""Generative models of fake images: training, sampling, quality."""

from typing import Annotated

from pydantic import Field

from trustmia.settings import Count, Precision, Rate, Section


class GanConfig(Section):
    """Hyperparameters of the GAN.

    Attributes:
        epochs: Passes over the generator's training images.
        batch_size: Real images per step.
        lr: Peak learning rate of both networks; falls linearly to 0 in the second half.
        latent_dim: Length of a latent vector.
        width: Channels of the generator at full resolution.
        discriminator_width: Channels of the discriminator's first layer.
        ema_decay: Decay per step of the averaged generator weights.
        precision: See `compute.resolved`.
    """

    epochs: Count
    batch_size: Annotated[int, Field(ge=2, le=10**6)]
    lr: Rate
    latent_dim: Count
    width: Count
    discriminator_width: Count
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    precision: Precision
