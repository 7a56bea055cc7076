"""What the pipeline knows about an image data set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trustmia.arrays import Int64, UInt8


@dataclass(frozen=True)
class Images:
    """Images with their labels.

    Attributes:
        pixels: uint8 [N, C, H, W].
        labels: int64 [N]; -1 where an image has no label of the target's classes.
    """

    pixels: UInt8
    labels: Int64

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{len(self.pixels)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Int64) -> "Images":
        """Return the images at `index` (int64 [K])."""
        return Images(self.pixels[index], self.labels[index])


@dataclass(frozen=True)
class Dataset:
    """A data set that target and shadow models are trained on.

    Attributes:
        name: Name in `params.yaml`.
        classes: Names of the classes, in the order of the labels.
        channels: Colour channels.
        size: Height and width in pixels.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel, of pixels in [0, 1].
        load: Reads the whole data set from the data folder: every published part, one
            after the other, in a fixed order that split indices refer to.
        fetch: Gets the data set from its publisher into the data folder and verifies it.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[Path], Images]
    fetch: Callable[[Path], str]
