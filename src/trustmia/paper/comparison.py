"""A finished run beside the table that the paper published for the same configuration."""

from functools import reduce
from importlib.resources import files as package_files
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from trustmia import files, paths
from trustmia.errors import UserError
from trustmia.freshness import require_current
from trustmia.measures.table import read_results
from trustmia.measures.views import text_table
from trustmia.paper.configurations import CONFIGURATIONS
from trustmia.params import Params

# What decides which of the paper's tables a run belongs to.
DECISIVE = (
    "dataset.name",
    "train.arch",
    "train.label_smoothing",
    "train.weight_decay",
    "calibration.method",
)
METRICS = {
    "precision": "Precision",
    "recall": "Recall",
    "fpr": "FPR",
    "tp_mmps": "MMPS of true positives",
    "fp_mmps": "MMPS of false positives",
}
KEYS = ["set", "attack"]


def published_results() -> pd.DataFrame:
    """Return the paper's tables.

    Returns:
        One row per `configuration`, `set` and `attack`; the metrics are fractions with
        four digits, as published.
    """
    with (package_files("trustmia.paper") / "published_results.csv").open() as stream:
        return pd.read_csv(stream)


def configuration_of(params: Params) -> str:
    """Return the name of the paper's configuration that parameters belong to.

    Raises:
        UserError: The paper has no table for it.
    """
    values = {key: value_of(params, key) for key in decisive(params)}
    published = set(published_results()["configuration"])
    for name, (_, configured) in CONFIGURATIONS.items():
        if name in published and values == {key: configured[key] for key in values}:
            return name
    described = ", ".join(f"{key}={value}" for key, value in values.items())
    raise UserError(
        f"params.yaml: the paper published no table for {described}; it did for the "
        f"configurations {', '.join(sorted(published))}"
    )


def decisive(params: Params) -> list[str]:
    """Return the keys that decide about the table; a temperature counts where it is used."""
    used = params.calibration.method == "temperature"
    return [*DECISIVE, "calibration.temperature"] if used else list(DECISIVE)


def value_of(params: Params, key: str) -> Any:
    """Return a parameter by its full key, e.g. `calibration.llla.link`."""
    return reduce(getattr, key.split("."), params)


def deviations(params: Params, configuration: str) -> list[str]:
    """Say in what a run differs from the paper's configuration, one phrase per parameter."""
    return [
        f"{key} {own} instead of {value}"
        for key, value in CONFIGURATIONS[configuration].values.items()
        if (own := value_of(params, key)) != value
    ]


def compare(results: pd.DataFrame, configuration: str) -> pd.DataFrame:
    """Return a run's results (its long table), the paper's for a configuration, and differences.

    Returns:
        One row per set, attack and metric of `METRICS`, in the paper's order and then the
        run's: `run`, `paper` and `difference` (run − paper), NaN where one has no such
        row.
    """
    published = published_results().query("configuration == @configuration")
    paper = published.melt(KEYS, list(METRICS), "metric", "paper")
    run = results[results["metric"].isin(METRICS)].rename(columns={"value": "run"})
    # As the table in the paper's columns has it.
    run = run.round({"run": 6})
    index = [*KEYS, "metric"]
    both = [paper.set_index(index)["paper"], run.set_index(index)["run"]]
    table = pd.concat(both, axis=1).reset_index()
    table["difference"] = table["run"] - table["paper"]
    return table[[*KEYS, "metric", "run", "paper", "difference"]]


def as_tables(comparison: pd.DataFrame, style: str) -> str:
    """Return one table per metric for people, in a format of the package `tabulate`."""
    parts = []
    for metric, title in METRICS.items():
        rows = comparison[comparison["metric"] == metric].set_index(KEYS)
        sets, attacks = (dict.fromkeys(rows.index.get_level_values(key)) for key in KEYS)
        table = [
            [name, *chain.from_iterable(_cells(rows, (name, attack)) for attack in attacks)]
            for name in sets
        ]
        headers = [title, *(f"{a} {c}" for a in attacks for c in ("run", "paper", "Δ"))]
        parts.append(text_table(table, headers, style, numbers=True))
    return "\n\n".join(parts)


def _cells(rows: pd.DataFrame, key: tuple[str, str]) -> list[str]:
    forms = {"run": "{:.3f}", "paper": "{:.3f}", "difference": "{:+.3f}"}
    values = rows.loc[key, list(forms)] if key in rows.index else dict.fromkeys(forms)
    return ["–" if pd.isna(values[k]) else form.format(values[k]) for k, form in forms.items()]


def compare_paper(params: Params, style: str, out: Path | None) -> str:
    """Set the last run beside the paper's table; `style` is a format of the package `tabulate`.

    If `out` is given, the comparison is written there as CSV, one row per set, attack and metric.

    Raises:
        UserError: There is no run with these parameters, code and data, the paper has no such
            table, or `out` cannot be written.
    """
    configuration = configuration_of(params)
    require_current([paths.RESULTS])
    comparison = compare(read_results(), configuration)
    lines = [f"The paper's configuration: {configuration}; fractions, as published"]
    differing = deviations(params, configuration)
    if differing:
        lines.append(f"This run differs from it: {'; '.join(differing)}")
    if out is not None:
        try:
            files.write_table(out, comparison, "%.4f")
        except OSError as error:
            raise UserError(f"--out: cannot write {out}: {error.strerror}") from error
        lines.append(f"Written to {out}")
    return "\n".join(lines) + f"\n\n{as_tables(comparison, style)}"
