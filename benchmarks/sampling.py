"""Generation in batches against one image at a time."""

import tempfile
from pathlib import Path

import torch
from PIL import Image

from benchmarks.timing import side_by_side
from trustmia.generators.gan import Generator
from trustmia.generators.sampling import SampleConfig, sample
from trustmia.images.fakes import save_fakes
from trustmia.runtime.compute import pick_device, place

IMAGES = 1000
BATCH = 125
ROUNDS = 3


def config(images: int, batch_size: int, seed: int) -> SampleConfig:
    """Return the default experiment's sampling of a number of images."""
    return SampleConfig(images, 10, 64, 1.8, 28, batch_size, seed, precision="auto")


def report() -> str:
    """Return how many times faster drawing and keeping images in batches is.

    The other way calls the generator once per image and writes one PNG file per image.
    """
    torch.manual_seed(0)
    device = pick_device()
    generator = place(Generator(10, 1, 28, 64, 32).eval(), device)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def together() -> None:
            fakes = sample(generator, config(IMAGES, BATCH, 0), device, lambda count: None)
            save_fakes(folder / "fakes", fakes, {})

        def one_at_a_time() -> None:
            for number in range(IMAGES):
                fake = sample(generator, config(1, 1, number), device, lambda count: None)
                Image.fromarray(fake.pixels[0, 0]).save(folder / f"{number}.png")

        _, _, ratio = side_by_side(together, one_at_a_time, ROUNDS)
    return f"generate: {ratio:.1f} times the images per second of one call and one file per image"
