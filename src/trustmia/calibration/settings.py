"""What `params.yaml` says of calibrations."""

from typing import Annotated, Literal

from pydantic import Field

from trustmia.settings import Section


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
