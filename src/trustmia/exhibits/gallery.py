"""Images that no attack doubts to be members, and that are none."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trustmia.arrays import Bool, Int64, UInt8
from trustmia.images.base import Images
from trustmia.signals.scores import ScoreSet

MAX_PER_SET = 8
MIN_SIDE = 56


@dataclass(frozen=True)
class Exhibit:
    """An image of the gallery.

    Attributes:
        set: Its image set.
        rank: Its place within the set, 0 for the most confident prediction.
        score: Its maximum prediction score.
        predicted: Name of the class of that score.
        true: Name of its class; empty if it has none of the model's classes.
        png: The image as a PNG file.
    """

    set: str
    rank: int
    score: float
    predicted: str
    true: str
    png: bytes


def select(target: ScoreSet, called_member: Bool) -> dict[str, Int64]:
    """Return the images to exhibit of each non-member set.

    Args:
        target: What the target said of all images.
        called_member: bool [N], all attacks call the image a member.

    Returns:
        Set → int64 [at most `MAX_PER_SET`], rows of `target` of images called members, by
        falling maximum score, then by row.
    """
    maxima = target.scores.max(axis=1)
    chosen = {}
    for name, rows in target.nonmember_sets().items():
        called = rows[called_member[rows]]
        order = np.argsort(-maxima[called], kind="stable")
        chosen[name] = called[order[:MAX_PER_SET]]
    return chosen


def exhibit(
    name: str, rows: Int64, target: ScoreSet, images: Images, classes: tuple[str, ...]
) -> list[Exhibit]:
    """Return the exhibits of an image set.

    Args:
        name: The image set.
        rows: int64 [k], rows of `target` in the order of the gallery.
        target: What the target said of all images.
        images: All images of the set, in the order in which the target was shown them.
        classes: Names of the classes.

    Raises:
        ValueError: The target was shown another number of images of this set.
    """
    of_set = target.nonmember_sets()[name]
    if len(of_set) != len(images):
        raise ValueError(f"{len(images)} images of set {name}, scores of {len(of_set)}")
    exhibits = []
    for rank, (row, place) in enumerate(zip(rows, np.searchsorted(of_set, rows), strict=True)):
        scores, label = target.scores[row], target.labels[row]
        exhibits.append(
            Exhibit(
                set=name,
                rank=rank,
                score=float(scores.max()),
                predicted=classes[scores.argmax()],
                true=classes[label] if label >= 0 else "",
                png=enlarged_png(images.pixels[place]),
            )
        )
    return exhibits


def enlarged_png(pixels: UInt8) -> bytes:
    """Return uint8 [C, H, W], C 1 or 3, as a PNG whose sides have `MIN_SIDE` pixels or more.

    Every pixel becomes a square of equal pixels.
    """
    factor = -(-MIN_SIDE // min(pixels.shape[1:]))
    large = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    stream = io.BytesIO()
    picture = large[0] if len(large) == 1 else large.transpose(1, 2, 0)
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()
