"""What the target says of images beside what reference models say, ready for attacks."""

from dataclasses import dataclass, replace

import numpy as np

from trustmia.arrays import Bool, Int64
from trustmia.errors import UserError
from trustmia.signals.many_models import ManyModels, ModelOutputs
from trustmia.signals.sides import as_many_as, equal_sides, unrelated
from trustmia.signals.summaries import Summary, summarise


@dataclass(frozen=True)
class Summaries:
    """Summaries of the audited images, the further sets and the population.

    Attributes:
        signals: What was summarised.
        member: bool [P], the audited images that the target was trained on.
        references: int64 [R], the reference models.
        per_side: How many IN and OUT models speak for an image, on average, where some are
            set aside; None: all do.
        audited: Summary of the audited images.
        sets: Those of the further sets.
        population: That of the population; None if there is none.
    """

    signals: ManyModels
    member: Bool
    references: Int64
    per_side: tuple[float, float] | None
    audited: Summary
    sets: dict[str, Summary]
    population: Summary | None


def compare(signals: ManyModels, target: int, candidates: Int64) -> Summaries:
    """Summarise what the target and its reference models say.

    Args:
        signals: What the models say.
        target: Index of the target.
        candidates: int64 [C], models that may be reference models: all but those whose images
            are mostly the target's, or mostly all others.
    """
    trained_on = signals.member[:, signals.audited]
    member = trained_on[target]
    references = unrelated(trained_on, target, candidates)
    used = equal_sides(trained_on[references], member) if len(references) else None
    shown = signals.images.at(signals.audited)
    audited = summarise(shown, trained_on, target, references, used)
    held_out = audited.out_models.count[~member]
    wanted = held_out[held_out > 0]

    def like_held_out(images: ModelOutputs, trained_on: Bool) -> Summary:
        used = as_many_as(wanted, ~trained_on[references])
        return _with_spread_of(summarise(images, trained_on, target, references, used), audited)

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
    return Summaries(signals, member, references, per_side, audited, sets, population)


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


def _with_spread_of(summary: Summary, audited: Summary) -> Summary:
    """Judge other sets by the spread that the audited images have."""
    own = audited.out_models
    outside = replace(summary.out_models, spread=own.spread, grand_std=own.grand_std)
    return replace(summary, out_models=outside)


def stand_in(signals: ManyModels, target: int) -> Summaries | None:
    """Summarise an audit in which a reference model plays the target.

    It is the first one that is unrelated to the target, and was trained on some of the audited
    images; the others, but for the target, are its reference models. None without such a model.
    """
    trained_on = signals.member[:, signals.audited]
    others = np.delete(np.arange(len(trained_on)), target)
    for model in unrelated(trained_on, target, others):
        if len(np.unique(trained_on[model])) == 2:
            return compare(signals, int(model), others[others != model])
    return None
