"""Registry of calibration methods."""

from trustmia.calibration.base import Calibration, FitInputs, LllaSettings, Method
from trustmia.calibration.llla import LLLA
from trustmia.calibration.temperature import NONE, TEMPERATURE

METHODS: dict[str, Method] = {
    "none": NONE,
    "temperature": TEMPERATURE,
    "llla": LLLA,
}

__all__ = ["METHODS", "Calibration", "FitInputs", "LllaSettings", "Method"]
