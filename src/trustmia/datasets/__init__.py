"""Registry of data sets, and the image sets shown to the target."""

from trustmia.datasets.base import Dataset, Images
from trustmia.datasets.fashion_mnist import FASHION_MNIST

DATASETS: dict[str, Dataset] = {
    FASHION_MNIST.name: FASHION_MNIST,
}

__all__ = ["DATASETS", "Dataset", "Images"]
