"""Trains the class-conditional GAN."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from trustmia.generators import GanConfig
from trustmia.generators.gan import Discriminator, Generator
from trustmia.images.base import Images
from trustmia.runtime.compute import autocast, place, reproducible
from trustmia.runtime.seeding import derive_seed

STANDING_BATCHES = 200


@dataclass(frozen=True)
class GanEpoch:
    """Mean losses (hinge) of one epoch."""

    epoch: int
    discriminator_loss: float
    generator_loss: float


class GanTrainer:
    """Two networks, their optimisers, and the averaged generator."""

    def __init__(self, images: Images, num_classes: int, config: GanConfig, device: torch.device):
        self.config, self.device, self.num_classes = config, device, num_classes
        self.real = torch.from_numpy(images.pixels).to(device)
        self.labels = torch.from_numpy(images.labels).to(device)
        channels, size = self.real.shape[1], self.real.shape[2]
        generator = Generator(num_classes, channels, size, config.latent_dim, config.width)
        discriminator = Discriminator(num_classes, channels, config.discriminator_width)
        self.generator = place(generator, device)
        self.discriminator = place(discriminator, device)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self.update_average = get_ema_multi_avg_fn(config.ema_decay)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), config.lr, betas=(0.0, 0.9), fused=True)
            for network in (self.generator, self.discriminator)
        ]
        self.steps = config.epochs * (len(self.real) // config.batch_size)
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda step: min(1.0, 2 * (1 - step / self.steps)))
            for o in self.optimizers
        ]

    def epoch(self, number: int) -> GanEpoch:
        """Pass once over the real images, the remainder of the last batch left out."""
        batch = self.config.batch_size
        order = torch.randperm(len(self.real), device=self.device)
        losses = torch.zeros(2, device=self.device)
        steps = len(order) // batch
        for index in order[: steps * batch].view(steps, batch):
            losses += torch.stack(self.step(self.real[index], self.labels[index]))
        discriminator_loss, generator_loss = (losses / steps).tolist()
        return GanEpoch(number, discriminator_loss, generator_loss)

    def step(self, real: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Update discriminator, generator and average once; return the two losses."""
        real = (real.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        losses = self._step_discriminator(real, labels), self._step_generator(labels)
        for schedule in self.schedules:
            schedule.step()
        self.update_average(list(self.averaged.parameters()), list(self.generator.parameters()), 1)
        return losses

    def _draw(self, labels: Tensor) -> Tensor:
        latents = torch.randn(len(labels), self.config.latent_dim, device=self.device)
        images: Tensor = self.generator(latents, labels)
        return images

    def _step_discriminator(self, real: Tensor, labels: Tensor) -> Tensor:
        with autocast(self.config.precision, self.device):
            with torch.no_grad():
                fake = self._draw(labels)
            scores = self.discriminator(torch.cat([real, fake.float()]), labels.repeat(2)).float()
        on_real, on_fake = scores.chunk(2)
        loss = F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()
        self._apply(loss, self.optimizers[1])
        return loss.detach()

    def _step_generator(self, labels: Tensor) -> Tensor:
        self.discriminator.requires_grad_(False)
        with autocast(self.config.precision, self.device):
            loss = -self.discriminator(self._draw(labels), labels).float().mean()
        self._apply(loss, self.optimizers[0])
        self.discriminator.requires_grad_(True)
        return loss.detach()

    @staticmethod
    def _apply(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def finish(self) -> Generator:
        """Return the averaged generator, its normalisation measured anew.

        The batch statistics gathered during training belong to the raw weights, not to
        their average; a cumulative mean over fresh batches replaces them (the "standing
        statistics" of Brock et al. 2019).
        """
        norms = [m for m in self.averaged.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.averaged.train()
        for _ in range(STANDING_BATCHES):
            latents = torch.randn(256, self.config.latent_dim, device=self.device)
            labels = torch.randint(self.num_classes, (256,), device=self.device)
            self.averaged(latents, labels)
        return self.averaged.eval()


def train_gan(
    images: Images,
    num_classes: int,
    config: GanConfig,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[GanEpoch], None],
) -> Generator:
    """Train a GAN and return its averaged generator in evaluation mode, on the CPU.

    Images are the generator's own for training, uint8 [N, C, H, W] with labels int64 [N];
    `on_epoch` is called after every epoch.

    Raises:
        FloatingPointError: A loss is no longer finite.
    """
    with reproducible(derive_seed(seed, "train_generator")):
        trainer = GanTrainer(images, num_classes, config, device)
        for number in range(1, config.epochs + 1):
            result = trainer.epoch(number)
            if not math.isfinite(result.discriminator_loss + result.generator_loss):
                raise FloatingPointError(f"the GAN's loss is not finite in epoch {number}")
            on_epoch(result)
        return trainer.finish().cpu()
