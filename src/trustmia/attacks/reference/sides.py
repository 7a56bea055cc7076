"""Which reference models speak for each image, so that their number says nothing of the target.

Where models were given their images together, how many of the others were trained on an image
tells whether the target was: of an image that is IN half of all models, the others have one
more or one less. An attack that has more models of one side for members than for held-out
images finds members by this alone.
"""

import math

import numpy as np
import scipy.stats

from trustmia.arrays import Bool, Int64
from trustmia.attacks.reference.summary import blocks
from trustmia.seeding import numpy_generator

# A correlation of memberships that two halves have if they differ, or agree, in 5% of images.
NEARLY = 0.9
# How unlikely numbers of models that differ between members and held-out images must be by
# chance. To equalise them without need costs some models, nothing else.
CHANCE = 1e-3
# The share of images that may go without a score, rather than cost all others their models.
OUTLIERS = 0.01


def unrelated(member: Bool, target: int, candidates: Int64) -> Int64:
    """Return the models whose images are neither nearly the target's nor nearly all others.

    The others are on one side of the members, and on the other of the held-out images.

    Args:
        member: bool [M, P], the model was trained on the audited image.
        target: Index of the target.
        candidates: int64 [R], indices of models.
    """
    own = member[target] - member[target].mean()
    alike = np.empty(len(candidates))
    for place, model in enumerate(candidates):
        other = member[model] - member[model].mean()
        alike[place] = other @ own / max(np.linalg.norm(other) * np.linalg.norm(own), 1e-300)
    return candidates[np.abs(alike) < NEARLY]


def coupled(count: Int64, member: Bool) -> bool:
    """Say whether the numbers of models tell members from held-out images.

    They do if no number is of both, or if a Kolmogorov-Smirnov test finds that they differ.

    Args:
        count: int64 [P], how many reference models were trained on each audited image.
        member: bool [P], the target was; with both values present.
    """
    found = scipy.stats.ks_2samp(count[member], count[~member], method="asymp")
    return bool(found.statistic == 1 or found.pvalue < CHANCE)


def equal_sides(inside: Bool, member: Bool) -> Bool | None:
    """Choose equally many models of each side for all audited images, where it matters.

    Independent coins tell nothing by their numbers and keep them. Otherwise a side has the
    largest number of models that, those without any aside, all but 1% of the members and of
    the held-out images have of it; images with fewer have none. Which ones is drawn anew for
    each image: the first of a side would be other models for members than for held-out images.

    Args:
        inside: bool [R, P], the reference model was trained on the image.
        member: bool [P], the target was; with both values present.

    Returns:
        bool [R, P], the model speaks for the image; None: all do.
    """
    if not coupled(inside.sum(axis=0), member):
        return None
    used = np.zeros_like(inside)
    for side, name in ((inside, "inside"), (~inside, "outside")):
        count = side.sum(axis=0)
        least = min(_least(count[member]), _least(count[~member]))
        used |= _drawn(side, np.where(count < least, 0, least), name)
    return used


def _least(count: Int64) -> int:
    """Return the largest number that nearly all of some images have, those with 0 aside."""
    found = np.sort(count[count > 0])
    if not len(found):
        return 0
    return int(found[min(math.ceil(OUTLIERS * len(found)), len(found) - 1)])


def as_many_as(wanted: Int64, outside: Bool) -> Bool:
    """Choose as many OUT models for other images as the held-out images have.

    Numbers that vary are matched by rank, so that those of images like the held-out ones
    stay as they are.

    Args:
        wanted: int64 [H], how many each held-out image has, above 0; H may be 0.
        outside: bool [R, S], the reference model was not trained on the image.

    Returns:
        bool [R, S], the model speaks for the image.
    """
    count = outside.sum(axis=0)
    if not len(wanted):
        return outside
    order = np.lexsort((numpy_generator(0, "sides", "ties").random(len(count)), count))
    place = (np.arange(len(count)) + 0.5) / len(count) * len(wanted)
    limit = np.empty_like(count)
    limit[order] = np.sort(wanted)[place.astype(np.int64)]
    return _drawn(outside, limit, "outside")


def _drawn(side: Bool, limit: Int64, name: str) -> Bool:
    """Draw of each image at most `limit` models of a side, int64 [N]: bool [R, N]."""
    rng = numpy_generator(0, "sides", name)
    chosen = np.zeros_like(side)
    for rows in blocks(side.shape[1], len(side)):
        keys = np.where(side[:, rows], rng.random((rows.stop - rows.start, len(side))).T, np.inf)
        rank = keys.argsort(axis=0).argsort(axis=0)
        chosen[:, rows] = side[:, rows] & (rank < limit[rows])
    return chosen
