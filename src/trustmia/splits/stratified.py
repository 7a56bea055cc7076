"""Stratified, seeded index sets that never overlap."""

import numpy as np

from trustmia.arrays import Int64
from trustmia.errors import UserError
from trustmia.runtime.seeding import derive_seed
from trustmia.splits import Split, SplitParams

ROLES = ("target", "shadow")


def split_indices(labels: Int64, sizes: SplitParams, seed: int) -> Split:
    """Divide a data set between target, shadow and generator.

    The pool is drawn first, with a seed of its own. What is left belongs to the
    generator, so that a generator trained once stays disjoint from target and shadow
    whatever their seed and sizes within the pool. `labels`, int64 [N], are the classes of all
    images; `seed` is that of the parts of target and shadow.

    Returns:
        Sorted int64 indices into `labels`. `target` and `shadow` have `train`,
        `validation`, `test`, and their attack sets `members` (of `train`) and
        `non_members` (of `test`); `generator` has `train` and `holdout`. No image is in
        two of these but for the attack sets, and the validation images where none of
        their own are asked for. Every part has the classes in the
        proportions of the whole.

    Raises:
        UserError: A part needs more images than what it is drawn from has.
    """
    _check_sizes(len(labels), sizes)
    everything = np.arange(len(labels), dtype=np.int64)
    pool_seed = sizes.pool_seed
    pool, rest = take(labels, everything, sizes.pool_size, derive_seed(pool_seed, "split", "pool"))
    holdout, generator_train = take(
        labels, rest, sizes.generator_holdout_size, derive_seed(pool_seed, "split", "holdout")
    )
    split: Split = {"generator": {"train": generator_train, "holdout": holdout}}
    for role in ROLES:
        split[role], pool = _take_role(labels, pool, sizes, derive_seed(seed, "split", role))
    return split


def _take_role(
    labels: Int64, pool: Int64, sizes: SplitParams, seed: int
) -> tuple[dict[str, Int64], Int64]:
    """Draw the parts of one model; return them and what is left of the pool."""
    parts: dict[str, Int64] = {}
    for part in ("train", "validation", "test"):
        size = getattr(sizes, f"{part}_size")
        parts[part], pool = take(labels, pool, size, derive_seed(seed, part))
    if not sizes.validation_size:
        parts["validation"] = parts["test"]
    for name, source, size in (
        ("members", "train", sizes.attack_members),
        ("non_members", "test", sizes.attack_nonmembers),
    ):
        parts[name] = take(labels, parts[source], size, derive_seed(seed, name))[0]
    return parts, pool


def take(labels: Int64, pool: Int64, size: int, seed: int) -> tuple[Int64, Int64]:
    """Draw images with every class in proportion.

    Args:
        labels: int64 [N], the class of every image.
        pool: int64 [P], indices that are drawn from, sorted.
        size: How many are drawn.
        seed: Seed of the draw.

    Returns:
        The indices drawn, and the rest, both sorted.

    Raises:
        UserError: There are too few images for every class to be on both sides.
    """
    from sklearn.model_selection import train_test_split

    if size in (0, len(pool)):
        return (pool, pool[:0]) if size else (pool[:0], pool)
    try:
        taken, rest = train_test_split(
            pool, train_size=size, stratify=labels[pool], random_state=seed % 2**32
        )
    except ValueError as error:
        raise UserError(
            f"params.yaml: split: cannot draw {size} of {len(pool)} images with every class "
            f"in proportion; allowed: at least one image of each class on both sides ({error})"
        ) from error
    return np.sort(taken), np.sort(rest)


def _check_sizes(available: int, sizes: SplitParams) -> None:
    needed = len(ROLES) * (sizes.train_size + sizes.validation_size + sizes.test_size)
    outside = sizes.pool_size + sizes.generator_holdout_size
    for key, wanted, source, size in (
        ("pool_size + generator_holdout_size", outside, "the data set's images", available),
        ("train_size + validation_size + test_size, twice,", needed, "pool_size", sizes.pool_size),
        ("attack_members", sizes.attack_members, "train_size", sizes.train_size),
        ("attack_nonmembers", sizes.attack_nonmembers, "test_size", sizes.test_size),
    ):
        if wanted > size:
            raise UserError(
                f"params.yaml: split.{key} is {wanted}; allowed: at most {size} ({source})"
            )
