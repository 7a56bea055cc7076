"""What parameters are made of: sections with keys, and ranges of numbers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=10**9)]
Rate = Annotated[float, Field(gt=0, le=1)]
Precision = Literal["auto", "fp32", "bf16"]


class Section(BaseModel):
    """A part of `params.yaml`: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
