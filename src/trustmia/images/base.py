"""Images in memory, and what the pipeline knows about the data set they come from."""

from dataclasses import dataclass

from trustmia.arrays import Int64, UInt8


@dataclass(frozen=True)
class Images:
    """Images with their labels.

    Attributes:
        pixels: uint8 [N, C, H, W], in memory or memory-mapped.
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
        """Return the images at `index` (int64 [K]), in memory."""
        return Images(self.pixels[index], self.labels[index])


@dataclass(frozen=True)
class Dataset:
    """The data set of target and shadow, as models are shown it.

    Attributes:
        name: Name in `params.yaml`.
        classes: Names of the classes, in the order of the labels.
        channels: Colour channels.
        size: Height and width in pixels.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel, of pixels in [0, 1].
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
