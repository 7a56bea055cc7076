"""Seeds that depend on a name, never on the order of calls."""

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str) -> int:
    """Return a seed in [0, 2**63) for the thing called `names`.

    Args:
        seed: The experiment's `seed` parameter.
        names: What is seeded, from general to special, e.g. `("train", "target")`.
    """
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_generator(seed: int, *names: str) -> np.random.Generator:
    """Return a NumPy generator seeded by `derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *names))
