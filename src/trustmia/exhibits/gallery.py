"""Images that no attack doubts to be members, and that are none."""

import io
from typing import Any

import numpy as np

from trustmia.arrays import Bool, Int64, UInt8
from trustmia.images.base import Images
from trustmia.images.resizing import as_picture
from trustmia.signals.scores import ScoreSet

MAX_PER_SET = 8
MIN_SIDE = 56


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
) -> list[dict[str, Any]]:
    """Return the exhibits of an image set.

    Args:
        name: The image set.
        rows: int64 [k], rows of `target` in the order of the gallery.
        target: What the target said of images of all sets.
        images: All of the set, in the order in which the target was shown them.
        classes: Names of the classes.

    Returns:
        `set`; `rank`, an int, the place within the set, 0 for the most confident prediction;
        `score`, a float, the maximum prediction score; `predicted`, the name of its class; `true`,
        that of the image's own, empty if it has none of the model's; `png`, bytes of a PNG file.

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
            {
                "set": name,
                "rank": rank,
                "score": float(scores.max()),
                "predicted": classes[scores.argmax()],
                "true": classes[label] if label >= 0 else "",
                "png": enlarged_png(images.pixels[place]),
            }
        )
    return exhibits


def enlarged_png(pixels: UInt8) -> bytes:
    """Return uint8 [C, H, W], C 1 or 3, as a PNG whose sides have `MIN_SIDE` pixels or more.

    Every pixel becomes a square of equal pixels.
    """
    factor = -(-MIN_SIDE // min(pixels.shape[1:]))
    large = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    stream = io.BytesIO()
    as_picture(large).save(stream, format="PNG")
    return stream.getvalue()
