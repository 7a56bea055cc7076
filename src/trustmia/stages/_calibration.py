"""How stages show images to a model and fit its calibration."""

import numpy as np
import torch

from trustmia.arrays import Int64
from trustmia.calibration import METHODS, Calibration, FitInputs, LllaSettings
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.architectures import Classifier
from trustmia.classifiers.inference import Prediction, predict
from trustmia.images.base import Dataset, Images
from trustmia.params import Params
from trustmia.seeding import derive_seed, numpy_generator


def fit_calibration(
    params: Params,
    dataset: Dataset,
    model: Classifier,
    train: Prediction,
    validation: Prediction,
    validation_labels: Int64,
) -> Calibration:
    """Fit `calibration.method` to a model.

    The paper's prior of LLLA is chosen on noise images, too: as many as there are
    validation images, the same for all models.

    Args:
        params: The parameters.
        dataset: What the model was trained on.
        model: The model.
        train: What it makes of its training images.
        validation: What it makes of held-out images.
        validation_labels: int64 [V], of these.
    """
    chosen, noise = params.calibration, None
    if chosen.method == "llla" and chosen.llla.prior == "paper":
        shown = noise_images(dataset, len(validation_labels), params.seed)
        noise = show(params, dataset, model, shown)
    return METHODS[chosen.method].fit(
        FitInputs(
            train=train,
            validation=validation,
            validation_labels=torch.from_numpy(validation_labels),
            noise=noise,
            temperature=chosen.temperature,
            llla=LllaSettings(**chosen.llla.model_dump()),
            seed=derive_seed(params.seed, "calibrate"),
        )
    )


def show(
    params: Params, dataset: Dataset, model: Classifier, images: Images, image_set: str = "original"
) -> Prediction:
    """Show images to a model as all later stages do: in that precision and batches as large."""
    inputs = classifiers.prepare(dataset, images, image_set)
    return predict(model, inputs, params.predict.batch_size, params.predict.precision)


def noise_images(dataset: Dataset, count: int, seed: int) -> Images:
    """Return images of uniform noise, uint8 [count, C, size, size] in [0, 255]."""
    shape = count, dataset.channels, dataset.size, dataset.size
    generator = numpy_generator(seed, "calibrate", "noise")
    pixels = generator.integers(0, 256, shape, dtype=np.uint8)
    return Images(pixels, np.full(count, -1))
