"""The splits of the paper's own code, which its published checkpoints were trained on.

They follow `experiments/{cifar10,stanford_dogs}_experiments.py` of the authors'
repository call by call: scikit-learn's `train_test_split` where that is stratified,
PyTorch's `random_split` elsewhere.
"""

import numpy as np

from trustmia.arrays import Int64
from trustmia.errors import UserError
from trustmia.runtime.seeding import derive_seed
from trustmia.splits import PUBLISHED_SPLITS, Split, SplitParams
from trustmia.splits.stratified import ROLES, take

# Seed of `get_subsampled_dataset` where the CIFAR-10 experiments give none.
UNSEEDED = 0
# Share of the dogs that target and shadow are trained on.
DOGS_TRAIN_SHARE = 0.8


def published_split(dataset: str, labels: Int64, sizes: SplitParams, seed: int) -> Split:
    """Divide a data set as the paper's code does.

    What that code leaves over is divided as in `split_indices`: validation images of
    target and shadow first, then the generator's held-out images, then its training
    images.

    Args:
        dataset: `cifar10` or `stanford_dogs`.
        labels: int64 [N], the class of every image, training images first.
        sizes: How many images each part gets; of the pool, only the seed is used, for what is
            left over.
        seed: Seed of the published code's calls; its checkpoints belong to 42.

    Raises:
        UserError: A part needs more images than there are.
    """
    split = PUBLISHED_SPLITS[dataset](labels, sizes, seed)
    used = np.concatenate([split[role][p] for role in split for p in ("train", "test")])
    rest = np.setdiff1d(np.arange(len(labels), dtype=np.int64), used)
    for role, parts in split.items():
        if sizes.validation_size:
            validation_seed = derive_seed(sizes.pool_seed, "split", "validation", role)
            parts["validation"], rest = take(labels, rest, sizes.validation_size, validation_seed)
        else:
            parts["validation"] = parts["test"]
    holdout_seed = derive_seed(sizes.pool_seed, "split", "holdout")
    holdout, train = take(labels, rest, sizes.generator_holdout_size, holdout_seed)
    split["generator"] = {"train": train, "holdout": holdout}
    return split


def cifar10(labels: Int64, sizes: SplitParams, seed: int) -> Split:
    """Divide CIFAR-10 (see `published_split`)."""
    from sklearn.model_selection import train_test_split

    boundary = len(labels) * 5 // 6  # five training batches, one test batch
    train, test = np.split(np.arange(len(labels), dtype=np.int64), [boundary])
    if 2 * sizes.train_size >= len(train) or 2 * sizes.test_size > len(test):
        raise _does_not_fit(f"train_size below {len(train) // 2}, test_size up to {len(test) // 2}")
    trained, _ = train_test_split(
        train, train_size=2 * sizes.train_size, random_state=seed, stratify=labels[train]
    )
    halves = train_test_split(
        trained, train_size=sizes.train_size, test_size=sizes.train_size, random_state=seed
    )
    if len(test) > 2 * sizes.test_size:
        test = _random_split(test, 2 * sizes.test_size, seed)[0]
    tested = _random_split(test, sizes.test_size, seed)
    pairs = zip(ROLES, halves, tested, strict=True)
    return {role: _parts(own, others, sizes, UNSEEDED) for role, own, others in pairs}


def stanford_dogs(labels: Int64, sizes: SplitParams, seed: int) -> Split:
    """Divide Stanford Dogs (see `published_split`)."""
    everything = np.arange(len(labels), dtype=np.int64)
    train, test = _random_split(everything, int(DOGS_TRAIN_SHARE * len(labels)), seed)
    if (sizes.train_size, sizes.test_size) != (len(train) // 2, len(test) // 2):
        raise _does_not_fit(f"train_size {len(train) // 2}, test_size {len(test) // 2}")
    halves = _random_split(train, sizes.train_size, seed)
    tested = _random_split(test, sizes.test_size, seed)
    pairs = zip(ROLES, halves, tested, strict=True)
    return {role: _parts(own, others, sizes, seed) for role, own, others in pairs}


def _parts(train: Int64, test: Int64, sizes: SplitParams, seed: int) -> dict[str, Int64]:
    """Return a model's images and its attack set."""
    if sizes.attack_members > len(train) or sizes.attack_nonmembers > len(test):
        raise _does_not_fit(f"attack_members up to {len(train)}, nonmembers up to {len(test)}")
    parts = {
        "train": train,
        "test": test,
        "members": _random_split(train, sizes.attack_members, seed)[0],
        "non_members": _random_split(test, sizes.attack_nonmembers, seed)[0],
    }
    return {name: np.sort(index) for name, index in parts.items()}


def _random_split(index: Int64, size: int, seed: int) -> tuple[Int64, Int64]:
    """Do what `torch.random_split` does after `torch.manual_seed(seed)`."""
    import torch

    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(seed)).numpy()
    return index[order[:size]], index[order[size:]]


def _does_not_fit(allowed: str) -> UserError:
    return UserError(f"params.yaml: split: method published allows {allowed}")
