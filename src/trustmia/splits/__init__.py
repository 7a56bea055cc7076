"""Who owns which image: our own split, and registry of the published ones by data set."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from trustmia.registry import Registry

if TYPE_CHECKING:
    from trustmia.arrays import Int64
    from trustmia.splits.stratified import Split, SplitSizes

PUBLISHED_SPLITS: "Registry[Callable[[Int64, SplitSizes, int], Split]]" = Registry(
    {
        "cifar10": "trustmia.splits.published:cifar10",
        "stanford_dogs": "trustmia.splits.published:stanford_dogs",
    }
)
