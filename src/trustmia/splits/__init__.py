"""Who owns which image: our own split, and registry of the published ones by data set."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from trustmia.arrays import Int64
from trustmia.registry import Registry
from trustmia.settings import Count, Section

# Owner → part → int64 indices of its images.
Split = dict[str, dict[str, Int64]]
PUBLISHED_SPLITS: "Registry[Callable[[Int64, SplitParams, int], Split]]" = Registry(
    {
        "cifar10": "trustmia.splits.published:cifar10",
        "stanford_dogs": "trustmia.splits.published:stanford_dogs",
    }
)


class SplitParams(Section):
    """How many images each part of the split gets; target and shadow each get their own.

    Attributes:
        method: `stratified`, or `published`: as the paper's own code draws it.
        pool_size: Images set aside for target and shadow together.
        pool_seed: Seed of the pool and of the generator's held-out images.
        generator_holdout_size: Images kept from the generator to judge it with.
        train_size: Training images of a model.
        validation_size: Held-out images of a model that calibration is fitted on; with 0 it
            is fitted on the test images.
        test_size: Held-out images of a model for its accuracy.
        attack_members: Training images in a model's attack set.
        attack_nonmembers: Test images in a model's attack set.
    """

    method: Literal["stratified", "published"]
    pool_size: Count
    pool_seed: Annotated[int, Field(ge=0, lt=2**32)]
    generator_holdout_size: Annotated[int, Field(ge=0, le=10**9)]
    train_size: Count
    validation_size: Annotated[int, Field(ge=0, le=10**9)]
    test_size: Count
    attack_members: Count
    attack_nonmembers: Count
