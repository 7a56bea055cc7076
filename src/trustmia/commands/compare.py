"""`trustmia compare`: experiments side by side."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from trustmia import files
from trustmia.errors import UserError
from trustmia.image_sets import HELD_OUT
from trustmia.study.comparison import (
    Group,
    Measured,
    as_tables,
    compare_groups,
    group,
    measure,
    stem,
)
from trustmia.study.progress import by_stages
from trustmia.study.repository import ExperimentRepository, Finished, open_repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description = (
        "Mean ± 95% interval (Student's t) over the seeds of experiments that differ in their seed "
        "alone."
    )
    parser.add_argument(
        "--experiments",
        metavar="NAME,…",
        help="experiments, or variants with all their seeds (default: all)",
    )
    parser.add_argument(
        "--all", action="store_true", help="of all commits rather than the current one"
    )
    parser.add_argument(
        "--sort", metavar="METRIC", help="e.g. ece, salem.precision or salem.fpr.fake; rising"
    )
    parser.add_argument("--descending", action="store_true", help="falling instead")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write it, in long form")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write its tables")


def run(options: argparse.Namespace) -> None:
    """Print the tables of experiments side by side, and what they leave out.

    Raises:
        UserError: There are no experiments, a name or a metric is unknown, or a file
            cannot be written.
    """
    with open_repository() as repository:
        experiments = repository.finished(None if options.all else repository.head())
        if not experiments:
            where = "" if options.all else " on this commit; --all takes those of all commits"
            raise UserError(f"no experiments{where}; run `make study`, or `dvc exp run` for one")
        if options.experiments is not None:
            names = [name.strip() for name in options.experiments.split(",") if name.strip()]
            experiments = _chosen(repository, experiments, names)
        measured = {experiment: measure(repository, experiment) for experiment in experiments}
        groups = group(repository, measured)
    comparison = compare_groups(measured, groups)
    labels = _sorted(comparison, [one.label for one in groups], options.sort, options.descending)
    _write(options.csv, options.markdown, comparison, labels)
    print("\n\n".join([as_tables(comparison, labels, "simple"), *_remarks(groups, measured)]))


def _chosen(
    repository: ExperimentRepository, experiments: list[Finished], names: Sequence[str]
) -> list[Finished]:
    by_name: dict[str, list[Finished]] = {}
    for experiment in experiments:
        seed = repository.params(experiment.revision).get("seed")
        for name in {experiment.name, stem(experiment.name, seed)}:
            by_name.setdefault(name, []).append(experiment)
    unknown = [name for name in names if name not in by_name]
    if unknown or not names:
        wrong = repr(unknown[0]) if unknown else "nothing"
        raise UserError(f"--experiments: got {wrong}; there are {', '.join(sorted(by_name))}")
    return list(dict.fromkeys(experiment for name in names for experiment in by_name[name]))


def _sorted(
    comparison: pd.DataFrame, labels: list[str], by: str | None, descending: bool
) -> list[str]:
    """Sort by a `METRIC` of the model, `ATTACK.METRIC` on held-out images, or with `.SET`."""
    if by is None:
        return labels[::-1] if descending else labels
    names = comparison["metric"].where(
        comparison["attack"] == "", comparison["attack"] + "." + comparison["metric"]
    )
    exact = names.where(comparison["attack"] == "", names + "." + comparison["set"])
    held_out = comparison["set"].isin(["", HELD_OUT])
    rows = comparison[(exact == by) | ((names == by) & held_out)]
    if rows.empty:
        allowed = ", ".join(dict.fromkeys(names))
        raise UserError(f"--sort: got {by!r}; allowed: {allowed}, also with .SET")
    measured = rows.dropna(subset="mean")
    means = dict(zip(measured["experiment"], measured["mean"], strict=True))
    sign = -1 if descending else 1
    ranked = sorted((label for label in labels if label in means), key=lambda x: sign * means[x])
    return ranked + [label for label in labels if label not in means]


def _write(
    csv: Path | None, markdown: Path | None, comparison: pd.DataFrame, labels: list[str]
) -> None:
    rank = {label: i for i, label in enumerate(labels)}
    ordered = comparison.sort_values("experiment", key=lambda c: c.map(rank), kind="stable")
    try:
        if csv:
            files.write_table(csv, ordered, "%.6f")
        if markdown:
            files.write_text(markdown, as_tables(comparison, labels, "github") + "\n")
    except OSError as error:
        raise UserError(f"{error.filename}: not writable ({error.strerror})") from error


def _remarks(groups: Sequence[Group], measured: Mapping[Finished, Measured]) -> list[str]:
    """Return a sentence for every kind of thing that the tables do not show."""
    remarks = []
    left_out = {e.name: measured[e].left_out for one in groups for e in one.experiments}
    if any(left_out.values()):
        remarks.append(
            "Not shown (–), as these stages were not run with the experiment's own parameters, "
            f"code and data: {by_stages(left_out)}."
        )
    outgrown = [e.name for one in groups for e in one.experiments if measured[e].outgrown]
    if outgrown:
        remarks.append(
            f"Without their attacks: {', '.join(outgrown)}. They were run before all results were "
            "in metrics/results.csv; `dvc exp run` on the present commit makes them again."
        )
    repeats = [name for one in groups for name in one.repeats]
    if repeats:
        listed = ", ".join(repeats)
        remarks.append(f"Left out, as they repeat parameters and seed of others: {listed}.")
    return remarks
