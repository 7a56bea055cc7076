"""Calibrations: from a model's last layer to prediction scores, and how well these tell the truth.

A calibration is fitted on `validation` images; accuracy, calibration metrics and the attack's
non-members come from `test` images, so that it is not measured on what it was fitted on, except
with `split.validation_size: 0`, as the paper does for dogs.
"""

from typing import TYPE_CHECKING

from trustmia.registry import Registry

if TYPE_CHECKING:
    from trustmia.calibration.base import Method

METHODS: "Registry[Method]" = Registry(
    {
        "none": "trustmia.calibration.temperature:NONE",
        "temperature": "trustmia.calibration.temperature:TEMPERATURE",
        "llla": "trustmia.calibration.llla:LLLA",
    }
)
