"""Experiments side by side: those that differ in their seed alone as one, with intervals."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from trustmia.freshness import CurrentFiles
from trustmia.full_keys import changes
from trustmia.image_sets import HELD_OUT
from trustmia.measures.metrics import DECISIONS, public
from trustmia.measures.table import KEYS
from trustmia.measures.views import text_table
from trustmia.study.repository import ExperimentRepository, Finished
from trustmia.study.seeds import over_seeds
from trustmia.study.tables import attacks_table, models_table

# Shown where an experiment trained the target and did not calibrate it.
BEFORE_CALIBRATION = "test_accuracy"
MODEL_COLUMNS = {
    BEFORE_CALIBRATION: "accuracy before calibration",
    "accuracy": "accuracy",
    "ece": "ECE",
    "overconfidence_error": "overconfidence",
    "mmps": "MMPS",
}
ATTACK_COLUMNS = {"precision": "precision", "recall": "recall", "auroc": "AUROC"}
NOTE = "Rates are fractions; ±: 95% interval over seeds (Student's t)."


@dataclass(frozen=True)
class Group:
    """Experiments that differ in their seed alone.

    Attributes:
        label: What to call them.
        changed: The parameters that are not their commit's.
        experiments: One per seed.
        repeats: Names of experiments that have parameters and seed of one of these.
    """

    label: str
    changed: dict[str, Any]
    experiments: tuple[Finished, ...]
    repeats: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What an experiment reaches.

    Attributes:
        values: `attack` and `set` (empty for values of the model), `metric` and `value`.
        left_out: Stages whose values are not among them, as they were not run with the
            parameters, code and data of the experiment.
        inputs: The code and data that values come from, by their MD5s.
        outgrown: Its attacks' results are in files of before there was one table of them.
    """

    values: pd.DataFrame
    left_out: tuple[str, ...]
    inputs: dict[str, str | None]
    outgrown: bool


def measure(repository: ExperimentRepository, experiment: Finished) -> Measured:
    """Return what an experiment reaches by the files of its revision."""
    read = repository.files_at(experiment.revision)
    models = models_table(read).assign(attack="", set="")
    attacks = attacks_table(read)
    attacks = attacks[attacks["metric"].isin([public(key) for key in DECISIONS])]
    values = pd.concat([models, attacks])[[*KEYS, "value"]]
    return Measured(values, read.not_run(), read.inputs(), attacks.empty and _has_nested(read))


def _has_nested(read: CurrentFiles) -> bool:
    try:
        return bool(read("metrics/attack_results.json"))
    except FileNotFoundError:
        return False


def stem(name: str, seed: object) -> str:
    """Return the name of an experiment without its ending `-sSEED`, if it has that."""
    return name.removesuffix(f"-s{seed}")


def group(repository: ExperimentRepository, measured: Mapping[Finished, Measured]) -> list[Group]:
    """Put experiments together that have all but the seed in common: commit, code and data.

    Of those with the same seed, the one counts that ran most.

    Returns:
        First those that change nothing else, then by label.
    """
    together: dict[str, list[tuple[Finished, dict[str, Any]]]] = {}
    for experiment in sorted(measured, key=lambda e: len(measured[e].left_out)):
        params = repository.params(experiment.revision)
        rest = {key: value for key, value in params.items() if key != "seed"}
        # Without parameters, nothing says that two experiments are the same.
        own = rest or experiment.name
        all_else = [experiment.baseline, measured[experiment].inputs, own]
        key = json.dumps(all_else, sort_keys=True, default=str)
        together.setdefault(key, []).append((experiment, params))
    groups = []
    for members in together.values():
        baseline = repository.params(members[0][0].baseline)
        changed = changes(baseline | {"seed": None}, members[0][1] | {"seed": None})
        groups.append(_group(members, changed))
    for rename in (_with_commit, _names):
        labels = Counter(one.label for one in groups)
        groups = [
            one if labels[one.label] == 1 else replace(one, label=rename(one)) for one in groups
        ]
    return sorted(groups, key=lambda one: (bool(one.changed), one.label))


def _group(members: list[tuple[Finished, dict[str, Any]]], changed: dict[str, Any]) -> Group:
    by_seed: dict[object, Finished] = {}
    repeats = []
    # A name that ends in its seed is a study's, and goes before others.
    for experiment, params in sorted(
        members, key=lambda m: stem(m[0].name, m[1].get("seed")) == m[0].name
    ):
        if by_seed.setdefault(params.get("seed"), experiment) is not experiment:
            repeats.append(experiment.name)
    stems = {stem(experiment.name, seed) for seed, experiment in by_seed.items()}
    if len(by_seed) == 1:
        (label,) = (experiment.name for experiment in by_seed.values())
    elif len(stems) == 1:
        label = stems.pop()
    else:
        label = ", ".join(f"{key}={value}" for key, value in changed.items()) or "unchanged"
    return Group(label, changed, tuple(by_seed.values()), tuple(repeats))


def _with_commit(one: Group) -> str:
    return f"{one.label}@{one.experiments[0].baseline[:7]}"


def _names(one: Group) -> str:
    return ", ".join(experiment.name for experiment in one.experiments)


def compare_groups(measured: Mapping[Finished, Measured], groups: Iterable[Group]) -> pd.DataFrame:
    """Return what every group reaches.

    Returns:
        One row per group and value: `experiment` (the label), `seeds` (how many have the
        value), `attack` and `set` (empty for values of the model), `metric`, `mean`,
        `low` and `high` (NaN with one seed).
    """
    values = pd.concat(
        measured[e].values.assign(experiment=one.label) for one in groups for e in one.experiments
    )
    means = over_seeds(values, ["experiment", *KEYS]).rename(columns={"value": "mean"})
    means = means.assign(low=means["mean"] - means["half"], high=means["mean"] + means["half"])
    return means[["experiment", "seeds", *KEYS, "mean", "low", "high"]]


def as_tables(comparison: pd.DataFrame, labels: list[str], style: str) -> str:
    """Return tables for people: one of the models, one per attack.

    Args:
        comparison: What `compare_groups` returned.
        labels: The rows, in their order.
        style: A format of the package `tabulate`, e.g. `simple` or `github`.
    """
    cells = {
        (row.experiment, row.attack, row.set, row.metric): _cell(row.mean, row.high)
        for row in comparison.itertuples()
    }
    seeds = comparison.groupby("experiment")["seeds"].max().to_dict()

    def table(title: str, columns: dict[str, tuple[str, str, str]]) -> str:
        rows = [
            [
                label,
                str(seeds.get(label, 0)),
                *(cells.get((label, *key), "–") for key in columns.values()),
            ]
            for label in labels
        ]
        return text_table(rows, [title, "seeds", *columns], style, numbers=True)

    models = {title: ("", "", metric) for metric, title in MODEL_COLUMNS.items()}
    uncalibrated = [label for label in labels if (label, "", "", "accuracy") not in cells]
    if not any((label, "", "", BEFORE_CALIBRATION) in cells for label in uncalibrated):
        del models[MODEL_COLUMNS[BEFORE_CALIBRATION]]
    parts = [table("experiment", models)]
    measured = {key[1:] for key in cells}
    for attack in dict.fromkeys(comparison["attack"]):
        if attack:
            sets = dict.fromkeys(comparison[comparison["attack"] == attack]["set"])
            columns = {t: (attack, HELD_OUT, m) for m, t in ATTACK_COLUMNS.items()}
            columns |= {f"FPR {name}": (attack, name, "fpr") for name in sets}
            parts.append(table(attack, {t: key for t, key in columns.items() if key in measured}))
    return "\n\n".join([*parts, NOTE])


def _cell(mean: float, high: float) -> str:
    if np.isnan(mean):
        return "–"
    return f"{mean:.3f}" if np.isnan(high) else f"{mean:.3f} ± {high - mean:.3f}"
