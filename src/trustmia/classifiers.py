"""The classifiers of a data set: built, read back, and shown its images."""

from torch import Tensor

from trustmia.checkpoints import Checkpoint
from trustmia.datasets import Dataset, Images
from trustmia.datasets.corruptions import normalization
from trustmia.models import ARCHITECTURES, Classifier
from trustmia.prediction import normalize


def prepare(dataset: Dataset, images: Images, image_set: str = "original") -> Tensor:
    """Return images as a model sees them: float32 [N, C, H, W] (see `normalization`)."""
    return normalize(images.pixels, *normalization(dataset.mean, dataset.std, image_set))


def build(dataset: Dataset, arch: str) -> Classifier:
    """Return an untrained network for the images and classes of a data set."""
    return ARCHITECTURES[arch](dataset.channels, dataset.size, len(dataset.classes))


def restore(dataset: Dataset, checkpoint: Checkpoint) -> Classifier:
    """Return the network of a checkpoint, on the CPU, in evaluation mode."""
    model = build(dataset, checkpoint.card["arch"])
    model.load_state_dict(checkpoint.tensors)
    return model.eval()
