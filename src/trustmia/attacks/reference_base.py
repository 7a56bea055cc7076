"""What an attack with reference models is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trustmia.arrays import Float64
from trustmia.signals.summaries import Summary

Variance = Literal["per_example", "global", "auto", "both"]


@dataclass(frozen=True)
class ReferenceSettings:
    """Settings of all attacks; each reads its own.

    Attributes:
        lira_variance: Whose spread of confidences LiRA's Gaussians have: each image's own,
            one for all images, whichever suits the number of models, or both side by side.
        rmia_a: a of RMIA's offline form, in [0, 1].
        rmia_gamma: γ of RMIA, above 0.
    """

    lira_variance: Variance = "both"
    rmia_a: float = 0.3
    rmia_gamma: float = 1.0


Score = Callable[[Summary, Summary | None, ReferenceSettings], Float64]


@dataclass(frozen=True)
class ReferenceAttack:
    """An attack in the registry.

    Attributes:
        title: Name in tables.
        needs_references: Whether it looks at reference models.
        needs_inside: Whether it needs reference models that were trained on the image.
        needs_population: Whether it needs images that no model was trained on.
        score: From the audited images, and the population's, to float64 [N], higher is
            more likely a member.
        fewest: How many reference models of each side that it looks at an image needs.
        tie_break: What ranks images of equal score, float64 [N] of the same; None if
            nothing does.
    """

    title: str
    needs_references: bool
    needs_inside: bool
    needs_population: bool
    score: Score
    fewest: int = 1
    tie_break: Score | None = None
