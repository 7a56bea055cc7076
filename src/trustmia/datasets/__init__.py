"""Registry of published data sets."""

from trustmia.datasets import afhq, cifar10, cifar100, fashion_mnist, stanford_dogs, stl10, svhn
from trustmia.datasets.base import DatasetSource

DATASETS: dict[str, DatasetSource] = {
    module.SOURCE.name: module.SOURCE
    for module in (fashion_mnist, cifar10, cifar100, stl10, svhn, stanford_dogs, afhq)
}

__all__ = ["DATASETS", "DatasetSource"]
