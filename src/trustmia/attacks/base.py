"""What a membership inference attack is.

Whatever reads `params.yaml` imports every attack's module, for its settings: these import PyTorch,
scikit-learn and the like inside functions.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from trustmia.arrays import Bool, Float32, Float64, Int64
from trustmia.errors import UserError
from trustmia.settings import Section
from trustmia.signals.comparison import Comparison
from trustmia.signals.many_models import ManyModels
from trustmia.signals.summaries import Summary


class Need(Enum):
    """What an attack looks at beside the target."""

    SHADOW = "a model whose membership is known, on which decisions are learned"
    IN_MODELS = "reference models that were trained on the image"
    OUT_MODELS = "reference models that were not"
    POPULATION = "images that no model was trained on"


class Refused(UserError):
    """The attacks cannot run as they were asked for; whoever asked says how, in their words.

    Attributes:
        key: The parameter that is wrong, below `attack.` in `params.yaml`: `salem.k`.
        reason: What is wrong with it, and what is allowed.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key, self.reason = key, reason


@dataclass(frozen=True)
class FittedAttack:
    """An attack that has learned its parameters from the shadow model.

    Attributes:
        score: From prediction scores, float32 [N, K] whose rows sum to 1, to how much each row
            looks like a member's: float32 [N].
        rank: From logits, float [N, K], to what `score` would be in exact arithmetic, or a
            rising function of it: float64 [N], finite, the same for the same logits, whatever
            the order of classes. Scores near 1 are equal in float32 and rank nothing; the
            logits behind them still do.
        decide: From what `score` returned to which rows are called members: bool [N].
        learned: By the names used in `metrics.json`: finite numbers, None where there is none.
        notes: What is unusual about what was learned, a sentence each.
    """

    score: Callable[[Float32], Float32]
    rank: Callable[[Float32 | Float64], Float64]
    decide: Callable[[Float32], Bool]
    learned: Mapping[str, float | None]
    notes: tuple[str, ...] = ()


# From the shadow's scores float32 [N, K] and membership bool [N] with both values present, the
# attack's settings and the seed. Raises `Refused` if a setting does not fit the scores.
Fit = Callable[[Float32, Bool, Any, int], FittedAttack]
# From the audited images, the population's, and the attack's settings, to float64 [N].
Score = Callable[[Summary, Summary | None, Any], Float64]


@dataclass(frozen=True)
class LearnedForm:
    """A form that learns a decision on a shadow model, from prediction scores alone.

    Attributes:
        name: Name in results.
        title: Name for people.
        fit: Learns from the shadow model.
    """

    name: str
    title: str
    fit: Fit
    needs = frozenset({Need.SHADOW})


@dataclass(frozen=True)
class ComparedForm:
    """A form that compares what models say of the same images; it ranks, and decides nothing.

    Attributes:
        name: Name in results.
        title: Name for people.
        needs: What it looks at.
        score: Higher is more likely a member.
        fewest: How many reference models of each side that it looks at an image needs.
        tie_break: What ranks images of equal score, float64 [N] alike; None if nothing does.
        learned: What it tells of the settings that it ran with, by the names in `metrics.json`.
    """

    name: str
    title: str
    needs: frozenset[Need]
    score: Score
    fewest: int = 1
    tie_break: Score | None = None
    learned: Callable[[Any], dict[str, float | None]] = field(default=lambda settings: {})

    def possible(self, summary: Summary) -> Bool:
        """Say which images have the reference models that the form needs: bool [N]."""
        enough = np.ones(len(summary.target), dtype=np.bool_)
        for _, count in self._sides(summary):
            enough &= count >= self.fewest
        return enough

    def _sides(self, summary: Summary) -> list[tuple[str, Int64]]:
        """Return in words, and how many models there are of, each side that the form looks at."""
        sides = {
            Need.OUT_MODELS: ("not ", summary.out_models.count),
            Need.IN_MODELS: ("", summary.in_models.count),
        }
        return [side for need, side in sides.items() if need in self.needs]

    def lacks(self, comparison: Comparison) -> str | None:
        """Say what the form needs and the signals do not have."""
        sides = self._sides(comparison.audited)
        if sides and not len(comparison.references):
            return "no reference models"
        if Need.POPULATION in self.needs and comparison.population is None:
            return "no population images"
        if len(np.unique(comparison.member[self.possible(comparison.audited)])) == 2:
            return None
        lacking = [(int((count < self.fewest).sum()), side) for side, count in sides]
        few, side = max(lacking, key=lambda one: one[0])
        return f"{few} images have fewer than {self.fewest} models {side}trained on them"

    def scores(self, comparison: Comparison, settings: Section) -> tuple[Float64, Float64]:
        """Score and rank all images that have the models for it.

        Args:
            comparison: Of N images. Those of further sets are NaN if the form needs IN models.
            settings: The attack's.

        Returns:
            float64 [N] each, scores and what ranks; NaN are images that lack models, and no
            others.

        Raises:
            UserError: A score is not finite; what is left of them is not ranked.
        """
        scores = self._of_all(self.score, comparison, settings)
        if self.tie_break is None:
            return scores, scores
        return scores, _ranks(scores, self._of_all(self.tie_break, comparison, settings))

    def _of_all(self, score: Score, comparison: Comparison, settings: Section) -> Float64:
        signals = comparison.signals
        parts = [(signals.audited, comparison.audited)]
        if Need.IN_MODELS not in self.needs:
            parts += [(signals.sets[name], part) for name, part in comparison.sets.items()]
        result = np.full(len(signals.images), np.nan)
        for rows, part in parts:
            possible = self.possible(part)
            values = score(part, comparison.population, settings)
            broken = np.flatnonzero(possible & ~np.isfinite(values))
            if len(broken):
                raise UserError(
                    f"{self.name}: {len(broken)} images have a score of {values[broken[0]]}; what "
                    "the models say of them is beyond float64"
                )
            result[rows] = np.where(possible, values, np.nan)
        return result


def _ranks(scores: Float64, ties: Float64) -> Float64:
    """Rank images by score, those of equal score by another: float64 [N], NaN where there is none.

    Of equal rank are those that are equal in both.
    """
    keys = np.stack([scores, ties])
    order = np.lexsort(keys[::-1])
    steps = (np.diff(keys[:, order], axis=1) != 0).any(axis=0)
    ranks = np.empty(len(order))
    ranks[order] = np.concatenate([[0], np.cumsum(steps)])
    ranks[np.isnan(scores)] = np.nan
    return ranks


Form = LearnedForm | ComparedForm


@dataclass(frozen=True)
class Attack:
    """An attack in the registry.

    Attributes:
        settings: Its section of parameters; the defaults are those of the command line.
        forms: All that it can be.
        chosen: Names of the forms that settings ask for, given how many reference models there
            are; None: all.
        fewest: How many reference models settings take at least, trained on random halves in
            complementary pairs as the pipeline's are.
        tuned: Settings whose values to be tuned are chosen, given what many models say and which
            of them is the target; None if it has no such values. Raises `Refused` if the
            signals do not allow it.
    """

    settings: type[Section]
    forms: tuple[Form, ...]
    chosen: Callable[[Any, int], Collection[str]] | None = None
    fewest: Callable[[Any], int] = field(default=lambda settings: 0)
    tuned: Callable[[Any, ManyModels, int], Section] | None = None

    def forms_for(self, settings: Section, models: int) -> list[Form]:
        """Return the forms that settings ask for, given the number of reference models."""
        names = None if self.chosen is None else self.chosen(settings, models)
        return [form for form in self.forms if names is None or form.name in names]

    def always_needs(self, *needs: Need) -> bool:
        """Say whether each of its forms looks at one of these."""
        return all(form.needs.intersection(needs) for form in self.forms)
