"""The classifiers of a data set: built, read back, and shown its images."""

from trustmia.checkpoints import Checkpoint
from trustmia.classifiers.architectures import ARCHITECTURES, Classifier
from trustmia.classifiers.inference import Inputs, as_inputs
from trustmia.image_sets.corruptions import normalization
from trustmia.images.base import Dataset, Images


def prepare(dataset: Dataset, images: Images, image_set: str = "original") -> Inputs:
    """Return images as a model sees them (see `normalization`)."""
    return as_inputs(images.pixels, *normalization(dataset.mean, dataset.std, image_set))


def build(dataset: Dataset, arch: str) -> Classifier:
    """Return an untrained network for the images and classes of a data set."""
    return ARCHITECTURES[arch](dataset.channels, dataset.size, len(dataset.classes))


def restore(dataset: Dataset, checkpoint: Checkpoint) -> Classifier:
    """Return the network of a checkpoint, on the CPU, in evaluation mode."""
    model = build(dataset, checkpoint.card["arch"])
    model.load_state_dict(checkpoint.tensors)
    return model.eval()
