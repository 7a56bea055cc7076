"""What the target says of images beside what reference models say, ready for attacks."""

from dataclasses import dataclass, replace

import numpy as np

from trustmia.arrays import Bool, Int64
from trustmia.errors import UserError
from trustmia.signals.many_models import ManyModels, ModelOutputs
from trustmia.signals.sides import as_many_as, equal_sides, outstanding, unrelated
from trustmia.signals.summaries import Summary, summarise


@dataclass(frozen=True)
class Comparison:
    """Summaries of what the target and its reference models say, and how they were made.

    Attributes:
        signals: What was summarised.
        target: Index of the target.
        member: bool [P], the audited images that the target was trained on.
        references: int64 [R], the reference models.
        left_out: Models that are no reference models, as they were mostly trained on the
            target's images, or on all others.
        per_side: How many IN and OUT models speak for an image, on average, where their
            numbers would tell members; None where each image has its own.
        audited: Summary of the audited images.
        sets: Those of the further sets.
        population: That of the population; None if there is none.
    """

    signals: ManyModels
    target: int
    member: Bool
    references: Int64
    left_out: tuple[int, ...]
    per_side: tuple[float, float] | None
    audited: Summary
    sets: dict[str, Summary]
    population: Summary | None

    def outstanding(self) -> dict[int, float]:
        """Return the reference models that may tell members (see `sides.outstanding`)."""
        member = self.signals.member[:, self.signals.audited]
        return outstanding(member, self.target, self.references)


def compare(signals: ManyModels, target: int, *without: int) -> Comparison:
    """Summarise what the target and its reference models say.

    Reference models are all others but `without`, and those whose images are mostly the
    target's, or mostly all others. `target` and `without` are indices of models.
    """
    trained_on = signals.member[:, signals.audited]
    member = trained_on[target]
    candidates = np.setdiff1d(np.arange(len(trained_on)), (target, *without))
    references = unrelated(trained_on, target, candidates)
    left_out = tuple(np.setdiff1d(candidates, references).tolist())
    used = equal_sides(trained_on[references], member) if len(references) else None
    images = signals.images.at(signals.audited)
    audited = summarise(images, trained_on, target, references, used)
    out_models = audited.out_models.count[~member]

    def like_held_out(images: ModelOutputs, trained_on: Bool) -> Summary:
        used = as_many_as(out_models[out_models > 0], ~trained_on[references])
        summary = summarise(images, trained_on, target, references, used)
        own = audited.out_models
        # Other sets are judged by the spread that the audited images have.
        side = replace(summary.out_models, spread=own.spread, grand_std=own.grand_std)
        return replace(summary, out_models=side)

    sets = {
        name: like_held_out(signals.images.at(rows), signals.member[:, rows])
        for name, rows in signals.sets.items()
    }
    population = None
    if signals.population is not None:
        nobody = np.zeros((len(trained_on), len(signals.population)), dtype=np.bool_)
        population = like_held_out(signals.population, nobody)
    per_side = None
    if used is not None:
        per_side = float(audited.in_models.count.mean()), float(audited.out_models.count.mean())
    return Comparison(
        signals, target, member, references, left_out, per_side, audited, sets, population
    )


def check_target(signals: ManyModels, target: int) -> None:
    """Refuse a model as target whose members cannot be told from others.

    Raises:
        UserError: It was trained on all or none of the audited images, or on one of a further
            set.
    """
    if len(np.unique(signals.member[target, signals.audited])) < 2:
        raise UserError(f"model {target} was trained on all images or on none: nothing to rank")
    for name, rows in signals.sets.items():
        trained_on = np.flatnonzero(signals.member[target, rows])
        if len(trained_on):
            raise UserError(
                f"{signals.images.name}: image {rows.start + trained_on[0]} is of set {name}, but "
                f"model {target} was trained on it; allowed: no members in sets other than "
                "members and original"
            )


def stand_in(signals: ManyModels, target: int) -> Comparison | None:
    """Summarise an audit in which a reference model plays the target.

    It is the first one that is unrelated to the target, and was trained on some of the audited
    images; the others, but for the target, are its reference models. None without such a model.
    """
    trained_on = signals.member[:, signals.audited]
    others = np.delete(np.arange(len(trained_on)), target)
    for model in unrelated(trained_on, target, others):
        if len(np.unique(trained_on[model])) == 2:
            return compare(signals, int(model), target)
    return None
