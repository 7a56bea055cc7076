"""Which reference models speak for each image, so that their number says nothing of the target.

Where models were given their images together, how many of the others were trained on an image
tells whether the target was: of an image that is IN half of all models, the others have one
more or one less. An attack that has more models of one side for members than for held-out
images finds members by this alone.
"""

import numpy as np

from trustmia.arrays import Bool, Float64, Int64, blocks
from trustmia.runtime.seeding import numpy_generator

# A correlation of memberships that two halves have if they differ, or agree, in 20% of images.
# Designs that treat all models alike stay below: of three folds it is 0.5, of exact halves 1/3.
RELATED = 0.6
# Standard errors beyond which a design is not one of independent coins: of fewer images none
# can be told from them. One that is missed leaks; a false alarm costs some models, no more.
UNLIKE_COINS, FEW_IMAGES = 2.0, 300
# One image in so many, or one, may lack a side without others giving theirs up.
OUTLIERS = 100
# Standard errors, and the correlation, by which a single model differs from the others.
OUTSTANDING, NOTICEABLE = 4.0, 0.05


def _correlations(member: Bool, target: int, models: Int64) -> Float64:
    """Return how memberships correlate with the target's: 0 for all images or none, float64 [R]."""
    own = member[target] - member[target].mean()
    result = np.empty(len(models))
    for place, model in enumerate(models):
        other = member[model] - member[model].mean()
        result[place] = other @ own / max(np.linalg.norm(other) * np.linalg.norm(own), 1e-300)
    return result


def unrelated(member: Bool, target: int, candidates: Int64) -> Int64:
    """Return the models whose images are neither mostly the target's nor mostly all others.

    The others are on one side of most members, and on the other of most held-out images.

    Args:
        member: bool [M, P], the model was trained on the audited image.
        target: Index of the target.
        candidates: int64 [R], indices of models.
    """
    return candidates[np.abs(_correlations(member, target, candidates)) < RELATED]


def outstanding(member: Bool, target: int, references: Int64) -> dict[int, float]:
    """Return models whose membership correlates with the target's unlike the others' does.

    Where all do alike, equal numbers of models are enough.

    Args:
        member: bool [M, P], the model was trained on the audited image.
        target: Index of the target.
        references: int64 [R], indices of models.

    Returns:
        Model → its correlation, in [-1, 1].
    """
    if not len(references):
        return {}
    r = _correlations(member, target, references)
    limit = max(OUTSTANDING / np.sqrt(member.shape[1]), NOTICEABLE)
    apart = np.abs(r - np.median(r)) > limit
    return dict(zip(references[apart].tolist(), r[apart].tolist()))


def coupled(in_models: Bool, member: Bool) -> bool:
    """Say whether the numbers of models may tell members from held-out images.

    They do not where memberships are independent. Then the number of all models, the
    target among them, varies as the sum of their variances says, and that of the others
    does not correlate with the target's membership. The first shows designs that treat all
    models alike, such as some models of exact halves, the second any other. Few images show
    neither, so that theirs always may.

    Args:
        in_models: bool [R, P], the reference model was trained on the image.
        member: bool [P], the target was; with both values present.
    """
    images, count = len(member), in_models.sum(axis=0)
    if np.ptp(count) == 0:
        return False
    if images < FEW_IMAGES:
        return True
    share = np.append(in_models.mean(axis=1), member.mean())
    variance = share * (1 - share)
    expected = variance.sum()
    # Of R + 1 independent models; a model's own variance is known from its share.
    error = np.sqrt(2 * (1 - np.square(variance / expected).sum()) / images)
    excess = ((count + member).var() / expected - 1) / error
    along = np.corrcoef(count, member)[0, 1] * np.sqrt(images)
    return bool(max(abs(excess), abs(along)) > UNLIKE_COINS)


def equal_sides(in_models: Bool, member: Bool) -> Bool | None:
    """Give members and held-out images the same numbers of models, where they matter.

    Independent coins of many images tell nothing by their numbers and keep them. Otherwise
    members and held-out images are ranked by how many models they have of a side, and those
    of equal rank have as many as the one with fewer. Which ones is drawn anew for each image:
    the first of a side would be other models for members than for held-out images.

    For the arguments see `coupled`.

    Returns:
        bool [R, P], the model speaks for the image; None: all do.
    """
    if not coupled(in_models, member):
        return None
    used = np.zeros_like(in_models)
    ties = numpy_generator(0, "sides", "ranks").random(len(member))
    # An image of high rank by its IN models has a low one by its OUT models, so that both
    # numbers together are those of an image of the other kind.
    for side, name, order in ((in_models, "inside", ties), (~in_models, "outside", -ties)):
        count = side.sum(axis=0)
        limit = count.copy()
        lacking = count == 0
        few = lacking.sum() <= max(1, len(member) // OUTLIERS)
        ranked = ~lacking if few else np.ones_like(member)
        kinds = (ranked & member, ranked & ~member)
        for own, others in (kinds, kinds[::-1]):
            limit[own] = _of_equal_rank(count[own], count[others], order[own])
        used |= _drawn(side, limit, name)
    return None if used.all() else used


def _of_equal_rank(count: Int64, others: Int64, ties: Float64) -> Int64:
    """Return for each number, int64 [N], the one that has its rank among others, as a share of all.

    Without others, each number is its own; ties, float64 [N], are the order of equal ones.
    """
    if not len(others):
        return count
    place = (np.arange(len(count)) + 0.5) / len(count) * len(others)
    result = np.empty_like(count)
    result[np.lexsort((ties, count))] = np.sort(others)[place.astype(np.int64)]
    return result


def as_many_as(held_out: Int64, out_models: Bool) -> Bool:
    """Choose as many OUT models for other images as the held-out images have.

    Numbers that vary are matched by rank, so that those of images like the held-out ones
    stay as they are.

    Args:
        held_out: int64 [H], how many each held-out image has, above 0; H may be 0.
        out_models: bool [R, S], the reference model was not trained on the image.

    Returns:
        bool [R, S], the model speaks for the image.
    """
    count = out_models.sum(axis=0)
    if not len(held_out):
        return out_models
    ties = numpy_generator(0, "sides", "ties").random(len(count))
    limit = _of_equal_rank(count, held_out, ties)
    return _drawn(out_models, limit, "outside")


def _drawn(side: Bool, limit: Int64, name: str) -> Bool:
    """Draw of each image at most `limit` models of a side, int64 [N]: bool [R, N]."""
    rng = numpy_generator(0, "sides", name)
    chosen = np.zeros_like(side)
    for rows in blocks(side.shape[1], len(side)):
        keys = np.where(side[:, rows], rng.random((rows.stop - rows.start, len(side))).T, np.inf)
        rank = keys.argsort(axis=0).argsort(axis=0)
        chosen[:, rows] = side[:, rows] & (rank < limit[rows])
    return chosen
