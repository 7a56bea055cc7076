"""Augmentation of whole batches against torchvision's transforms of one image at a time."""

import io

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import side_by_side
from trustmia.classifiers import augmentation
from trustmia.torchvision_compat import declare_missing_operators

IMAGES = 64
SIZE, SIDES = 224, (230, 306)
PUBLISHED = (500, 375)
ROUNDS = 5


def report() -> str:
    """Return how many times faster a batch is made from the prepared images.

    The other way opens each JPEG file, and rotates, resizes, crops and mirrors it with
    torchvision, as the paper's code does in every epoch.
    """
    declare_missing_operators()
    from torchvision import transforms

    rng = np.random.default_rng(0)
    coarse = rng.integers(256, size=(IMAGES, 12, 16, 3), dtype=np.uint8)
    pictures = [Image.fromarray(pixels).resize(PUBLISHED) for pixels in coarse]
    jpegs = [io.BytesIO() for _ in pictures]
    for picture, stream in zip(pictures, jpegs, strict=True):
        picture.save(stream, format="JPEG")
    prepared = [
        np.asarray(picture.resize(SIDES[::-1])).transpose(2, 0, 1).copy() for picture in pictures
    ]
    sizes = torch.tensor([SIDES[::-1]] * IMAGES)
    transform = transforms.Compose(
        [
            transforms.RandomRotation(20),
            transforms.Resize(230),
            transforms.RandomCrop(SIZE),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
        ]
    )

    def together() -> None:
        augmentation.apply(prepared, augmentation.draw(sizes, SIZE), SIZE)

    def one_at_a_time() -> None:
        torch.stack([transform(Image.open(stream)) for stream in jpegs])

    _, _, ratio = side_by_side(together, one_at_a_time, ROUNDS)
    return f"augmentation: {ratio:.1f} times the images per second of files and torchvision"
