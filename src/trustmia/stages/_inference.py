"""How stages show images to a model."""

from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inference import Prediction, predict
from trustmia.classifiers.inputs import prepare
from trustmia.images.base import Dataset, Images
from trustmia.params import PredictParams


def show(
    model: Classifier,
    dataset: Dataset,
    images: Images,
    settings: PredictParams,
    normalised: bool = True,
    scale: float = 1.0,
) -> Prediction:
    """Show images to a model in the precision and the batches of all stages.

    Their pixels are normalised and scaled as `image_sets.pixels_of` says of their set.
    """
    inputs = prepare(dataset, images, normalised, scale)
    return predict(model, inputs, settings.batch_size, settings.precision)
