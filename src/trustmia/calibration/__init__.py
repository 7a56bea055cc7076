"""Calibrations: from a model's last layer to prediction scores, and how well these tell the truth.

A calibration is fitted on `validation` images; accuracy, calibration metrics and the attack's
non-members come from `test` images, so that it is not measured on what it was fitted on, except
with `split.validation_size: 0`, as the paper does for dogs.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trustmia.registry import Registry
from trustmia.settings import Section

if TYPE_CHECKING:
    from trustmia.calibration.base import Method

METHODS: "Registry[Method]" = Registry(
    {
        "none": "trustmia.calibration.temperature:NONE",
        "temperature": "trustmia.calibration.temperature:TEMPERATURE",
        "llla": "trustmia.calibration.llla:LLLA",
    }
)


class LllaParams(Section):
    """The last-layer Laplace approximation.

    Attributes:
        link: What makes scores of Gaussian logits: the probit approximation, or the mean
            over samples.
        samples: Number of samples of the link `mc`.
        prior: How the prior precision is chosen: by the NLL on held-out images, or with
            the Hessian and the search of the paper's code.
    """

    link: Literal["probit", "mc"]
    samples: Annotated[int, Field(ge=1, le=10**5)]
    prior: Literal["nll", "paper"]
