"""The tables of README.md, written from the last run's metrics."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from trustmia import files, paths
from trustmia.errors import UserError
from trustmia.freshness import remark, require_current, require_tracked
from trustmia.measures import views
from trustmia.measures.table import read_metrics, read_results
from trustmia.report.summary import of_one_run, summarise, variant_title
from trustmia.study.store import FOLDER as STUDY
from trustmia.study.store import read_study
from trustmia.study.tables import workspace_tables

BENCHMARKS = Path("benchmarks/results.json")
# The metrics that the tables show.
SHOWN = ("train_target", "train_shadow", "calibration_target", "calibration_shadow", "generator")
# Columns of the study's table: what they show of the target, and of attacks on it.
STUDY_MODELS = {"test accuracy": "accuracy", "ECE": "ece", "MMPS": "mmps"}
STUDY_RATES = {
    "fakes called members, threshold attack": ("threshold", "fake", "fpr"),
    "AUROC, threshold attack": ("threshold", "original", "auroc"),
    "AUROC, Salem attack": ("salem", "original", "auroc"),
    "AUROC, RMIA offline": ("rmia_offline", "original", "auroc"),
}


def result_table(style: str) -> str:
    """Return the tables of the last run's decisions (see `decision_tables`).

    A remark on standard error says if parameters, code or data have changed since.
    """
    table = views.decision_tables(read_results(), style)
    remark([paths.RESULTS])
    return table


def study_table(style: str) -> str:
    """Return the study's variants side by side: means over seeds with 95% intervals.

    Raises:
        UserError: There is no study.
    """
    tables = read_study()
    if tables["experiments"].empty:
        raise UserError("study: holds no experiments; run `dvc pull study.dvc`, or `make study`")
    summary = summarise(tables)
    models = summary.models.set_index(["variant", "metric"])
    rates = summary.rates.set_index(["variant", "attack", "set", "metric"])
    rows = []
    for variant in summary.variants:
        cells = [_mean(models, (variant, metric)) for metric in STUDY_MODELS.values()]
        cells += [_mean(rates, (variant, *key)) for key in STUDY_RATES.values()]
        rows.append([variant_title(variant), *cells])
    headers = ["variant", *STUDY_MODELS, *STUDY_RATES]
    table = views.text_table(rows, headers, style)
    note = "Fractions: means over {} seeds; in brackets: 95% interval (Student's t)."
    return f"{table}\n\n{note.format(summary.seeds)}"


def _mean(table: pd.DataFrame, key: tuple[str, ...]) -> str:
    value, low, high = table.loc[key] if key in table.index else (np.nan,) * 3
    both = None if np.isnan(low) else (low, high)
    return views.with_interval(views.Cell(None if np.isnan(value) else value, both, 0))


def model_table(style: str) -> str:
    """Return accuracy and calibration of both models."""
    headers = ["model", "training accuracy", "test accuracy", "NLL", "ECE", "overconfidence error"]
    rows = []
    for role in ("target", "shadow"):
        trained = read_metrics(f"train_{role}")
        after = read_metrics(f"calibration_{role}")["after"]
        numbers = [trained["train"]["accuracy"], trained["test"]["accuracy"]]
        numbers += [after[name] for name in ("nll", "ece", "overconfidence_error")]
        rows.append([role] + [f"{number:.3f}" for number in numbers])
    return views.text_table(rows, headers, style)


def generator_table(style: str) -> str:
    """Return the generator's quality beside that of real held-out images."""
    headers = ["images", "recognised as their class", "Fréchet distance"]
    quality = read_metrics("generator")
    rows = []
    for key, title in (("fake", "fakes"), ("held_out", "real, held out")):
        recognised, distance = quality[key]["recognised"], quality[key]["frechet_distance"]
        rows.append([title, _number(recognised, ".3f"), _number(distance, ".1f")])
    return views.text_table(rows, headers, style)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def answer(style: str) -> str:
    """Return the report's answer, of the last run alone."""
    read_results()
    # Of one run alone, nothing that is said depends on its seed.
    run = summarise(of_one_run(workspace_tables(), seed=0))
    note = f" {views.NOTE}" if run.has_intervals else ""
    return f"**{run.answer.verdict}** {' '.join(run.answer.sentences)}{note}"


def bench_lines(style: str) -> str:
    """Return what the last `make bench` found, as a list."""
    try:
        lines = files.read_json(BENCHMARKS)
    except FileNotFoundError as error:
        raise UserError(f"{BENCHMARKS}: not found; run `make bench`") from error
    return "\n".join(f"- {line}" for line in lines.values())


TABLES = {
    "answer": answer,
    "bench": bench_lines,
    "results": lambda style: views.decision_tables(read_results(), style),
    "ranking": lambda style: views.ranking_table(read_results(), style),
    "rates": lambda style: views.rates_table(read_results(), style),
    "study": study_table,
    "models": model_table,
    "generator": generator_table,
}


def update(path: Path) -> None:
    """Write every table between its markers `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        UserError: The file is missing or lacks a marker, or metrics are not those of the
            present parameters, code and data, or the study is not the versioned one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--update: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--update: {path} is no text in UTF-8; allowed: Markdown") from error
    require_current([paths.RESULTS, *(paths.METRICS / f"{name}.json" for name in SHOWN)])
    require_tracked(STUDY)
    files.write_text(path, with_tables(text, str(path)))


def with_tables(text: str, name: str) -> str:
    """Return a text with its tables made anew; `name` is the file's, for messages."""
    between = {
        marker: re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
        for marker in TABLES
    }
    for marker, pattern in between.items():
        if not pattern.search(text):
            raise UserError(f"{name}: has no <!-- {marker} --> … <!-- /{marker} -->")
    for marker, pattern in between.items():
        text = pattern.sub(partial(_between, f"{TABLES[marker]('github')}\n"), text)
    return text


def _between(content: str, match: re.Match[str]) -> str:
    return f"{match[1]}{content}{match[2]}"
