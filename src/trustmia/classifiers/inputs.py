"""The classifiers of a data set: built, read back, and shown its images."""

import numpy as np

from trustmia.arrays import Float32
from trustmia.classifiers import InferenceConfig
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inference import Inputs, Prediction, as_inputs, predict
from trustmia.images.base import Dataset, Images
from trustmia.runtime.checkpoints import Checkpoint


def prepare(
    dataset: Dataset, images: Images, normalised: bool = True, scale: float = 1.0
) -> Inputs:
    """Return images as a model sees them (see `normalization`)."""
    return as_inputs(images.pixels, *normalization(dataset.mean, dataset.std, normalised, scale))


def show(
    model: Classifier,
    dataset: Dataset,
    images: Images,
    config: InferenceConfig,
    normalised: bool = True,
    scale: float = 1.0,
) -> Prediction:
    """Show images to a model, their pixels as `normalization` says."""
    inputs = prepare(dataset, images, normalised, scale)
    return predict(model, inputs, config.batch_size, config.precision)


def normalization(
    mean: tuple[float, ...], std: tuple[float, ...], normalised: bool = True, scale: float = 1.0
) -> tuple[Float32, Float32]:
    """Return the affine map from uint8 pixels to a model's input.

    Args:
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel, of pixels in [0, 1].
        normalised: Whether x becomes (x/255 − mean)/std; else it becomes x/255, the input that a
            forgotten normalisation gives.
        scale: What that is multiplied by.

    Returns:
        `factor` and `offset`, float32 [C]: input = pixel · factor + offset.
    """
    centre, spread = np.asarray(mean), np.asarray(std)
    if not normalised:
        centre, spread = np.zeros_like(centre), np.ones_like(spread)
    factor, offset = scale / (255.0 * spread), -scale * centre / spread
    return factor.astype(np.float32), offset.astype(np.float32)


def build(dataset: Dataset, arch: str) -> Classifier:
    """Return an untrained network for the images and classes of a data set."""
    return ARCHITECTURES[arch](dataset.channels, dataset.size, len(dataset.classes))


def restore(dataset: Dataset, checkpoint: Checkpoint) -> Classifier:
    """Return the network of a checkpoint, on the CPU, in evaluation mode."""
    model = build(dataset, checkpoint.card["arch"])
    model.load_state_dict(checkpoint.tensors)
    return model.eval()
