"""Temperature scaling (Guo et al. 2017); at temperature 1, no calibration at all."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trustmia.calibration.base import Calibration, FitInputs, Method
from trustmia.errors import UserError

LOG_BOUNDS = (np.log(1e-3), np.log(1e3))


@dataclass(frozen=True)
class Temperature(Calibration):
    """Divides the logits by a temperature above 0 before the softmax."""

    temperature: float

    def logits(self, features: Tensor, logits: Tensor) -> Tensor:
        """See `Calibration.logits`."""
        return logits / self.temperature

    def tensors(self) -> dict[str, Tensor]:
        """See `Calibration.tensors`."""
        return {"temperature": torch.tensor(self.temperature, dtype=torch.float64)}


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature in [1e-3, 1e3] with the smallest negative log-likelihood.

    Logits, float [N, K], are of images that the model was not trained on; labels int64 [N].

    Raises:
        UserError: The likelihood has no maximum, as every image is classified correctly.
    """
    if bool((logits.gather(1, labels[:, None])[:, 0] >= logits.amax(1)).all()):
        raise UserError(
            "calibration.temperature: got 'fit', but the model is right about every validation "
            "image: the smaller the temperature, the smaller the loss; set a number above 0, or "
            "calibration.method to none"
        )
    from scipy.optimize import minimize_scalar

    exact = logits.double()

    def nll(log_temperature: float) -> float:
        return float(F.cross_entropy(exact / np.exp(log_temperature), labels))

    result = minimize_scalar(nll, bounds=LOG_BOUNDS, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(result.x))


def _fit(inputs: FitInputs) -> Temperature:
    if inputs.temperature == "fit":
        return Temperature(fit_temperature(inputs.validation.logits, inputs.validation_labels))
    return Temperature(float(inputs.temperature))


def _load(tensors: dict[str, Tensor]) -> Temperature:
    return Temperature(float(tensors["temperature"]))


TEMPERATURE = Method(fit=_fit, load=_load)
NONE = Method(fit=lambda inputs: Temperature(1.0), load=_load)
