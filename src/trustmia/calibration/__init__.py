"""Registry of calibration methods."""

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
