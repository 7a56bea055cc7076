"""What attacks say of images, in the one form that everything behind them reads."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float32, Float64, Int64
from trustmia.image_sets import MEMBERS
from trustmia.signals.comparison import Comparison


@dataclass(frozen=True)
class Decisions:
    """What an attack with a learned decision calls members.

    Attributes:
        called: bool [N], the image is called a member.
        scores: float32 [N], the attack scores that were decided on.
        max_scores: float32 [N], the target's maximum prediction scores.
    """

    called: Bool
    scores: Float32
    max_scores: Float32


@dataclass(frozen=True)
class AttackScores:
    """What one form of an attack says of N images.

    Attributes:
        title: The form's name for people, e.g. `LiRA offline`.
        groups: `MEMBERS`, then each non-member set → int64, the rows of its images.
        scores: float64 [N], higher is more likely a member; NaN of images that lack the
            reference models for it.
        ranking: float64 [N], what ranks the images where scores tie, or in finer precision;
            NaN alike.
        exact: Whether `ranking` is finer than prediction scores in float32.
        decisions: float32 scores and decisions; None if the attack learns no decision.
        learned: What it learned, by name, e.g. a threshold; None where there is no number.
    """

    title: str
    groups: Mapping[str, Int64]
    scores: Float64
    ranking: Float64
    exact: bool
    decisions: Decisions | None
    learned: Mapping[str, float | None]

    def ranked(self) -> dict[str, Float64]:
        """Return the ranking of each group's images that have one; groups without are left out."""
        groups = {name: self.ranking[rows] for name, rows in self.groups.items()}
        groups = {name: values[~np.isnan(values)] for name, values in groups.items()}
        return {name: values for name, values in groups.items() if name == MEMBERS or len(values)}


@dataclass(frozen=True)
class AttackRun:
    """What all attacks say.

    Attributes:
        forms: Form → what it says, in the order in which the attacks were asked for.
        left_out: Form, or attack → why it was not run.
        notes: What is unusual about what attacks learned, a sentence each.
        comparison: How the target was compared; None without reference models' signals.
    """

    forms: Mapping[str, AttackScores]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    comparison: Comparison | None

    def left_out_note(self) -> list[str]:
        """Return what was left out and why, as one sentence or none."""
        reasons = ", ".join(f"{name} ({reason})" for name, reason in self.left_out.items())
        return [f"Left out: {reasons}."] if reasons else []
