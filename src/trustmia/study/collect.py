"""The finished experiments of a study, gathered as tables."""

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from trustmia.full_keys import changes
from trustmia.study.grid import Experiment
from trustmia.study.repository import ExperimentRepository, Finished
from trustmia.study.tables import COLUMNS, EXPERIMENT_COLUMNS, RunTables, run_tables


def collect(
    repository: ExperimentRepository, finished: Iterable[tuple[Experiment, Finished]]
) -> tuple[RunTables, dict[str, tuple[str, ...]]]:
    """Read every experiment's files at its revision, from git and DVC.

    Returns:
        `experiments` with one row each, and the tables of `run_tables` stacked, with the
        columns `experiment`, `variant` and `seed` in front. And by the experiment's name the
        stages whose files are left out, as they were not run for it.
    """
    not_run: dict[str, tuple[str, ...]] = {}
    rows: list[dict[str, Any]] = []
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    for experiment, run in finished:
        key = {
            "experiment": experiment.name,
            "variant": experiment.variant,
            "seed": experiment.seed,
        }
        params = repository.params(run.revision)
        changed = changes(repository.params(run.baseline), params)
        date = repository.date(run.revision)
        described = {"rev": run.revision, "date": date, "changes": json.dumps(changed)}
        rows.append(key | described | {"dataset": params["dataset"]["name"]})
        read = repository.files_at(run.revision)
        for kind, table in run_tables(read).items():
            labelled = table.assign(**key).astype(EXPERIMENT_COLUMNS)
            parts[kind].append(labelled[[*key, *table.columns]])
        not_run[experiment.name] = read.not_run()
    tables = {"experiments": pd.DataFrame(rows).astype(EXPERIMENT_COLUMNS)}
    tables |= {name: pd.concat(part, ignore_index=True) for name, part in parts.items()}
    return tables, {name: stages for name, stages in not_run.items() if stages}
