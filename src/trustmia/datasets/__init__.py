"""Published data sets and weights: fetched, verified, decoded, written as prepared arrays.

Raw formats end at the stages `prepare_dataset` and `prepare_image_sets`: these two alone depend
on `data/` and on this room. What they write, arrays and a description (`images.prepared`), is
what all other stages depend on, so that a new data set, in `data/` or in this registry, trains
nothing again.
"""

from typing import TYPE_CHECKING

from trustmia.registry import Registry

if TYPE_CHECKING:
    from trustmia.datasets.base import DatasetSource

DATASETS: "Registry[DatasetSource]" = Registry(
    {
        "fashion_mnist": "trustmia.datasets.fashion_mnist:SOURCE",
        "cifar10": "trustmia.datasets.cifar10:SOURCE",
        "cifar100": "trustmia.datasets.cifar100:SOURCE",
        "stl10": "trustmia.datasets.stl10:SOURCE",
        "svhn": "trustmia.datasets.svhn:SOURCE",
        "stanford_dogs": "trustmia.datasets.stanford_dogs:SOURCE",
        "afhq": "trustmia.datasets.afhq:SOURCE",
    }
)
