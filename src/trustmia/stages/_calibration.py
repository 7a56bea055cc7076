"""How a model is calibrated: the target as its reference models."""

import numpy as np
import torch

from trustmia.arrays import Int64
from trustmia.calibration import METHODS
from trustmia.calibration.base import Calibration, FitInputs
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inference import Prediction
from trustmia.classifiers.inputs import show
from trustmia.images.base import Dataset, Images
from trustmia.params import Params
from trustmia.runtime.seeding import derive_seed, numpy_generator


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
        noise = show(model, dataset, shown, params.predict)
    return METHODS[chosen.method].fit(
        FitInputs(
            train=train,
            validation=validation,
            validation_labels=torch.from_numpy(validation_labels),
            noise=noise,
            temperature=chosen.temperature,
            llla=chosen.llla,
            seed=derive_seed(params.seed, "calibrate"),
        )
    )


def noise_images(dataset: Dataset, count: int, seed: int) -> Images:
    """Return images of uniform noise, uint8 [count, C, size, size] in [0, 255]."""
    shape = count, dataset.channels, dataset.size, dataset.size
    generator = numpy_generator(seed, "calibrate", "noise")
    pixels = generator.integers(0, 256, shape, dtype=np.uint8)
    return Images(pixels, np.full(count, -1))
