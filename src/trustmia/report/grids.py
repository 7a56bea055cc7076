"""The report's tables of numbers: cells with intervals, grouped by what a reader chooses."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trustmia.attacks import form_title
from trustmia.image_sets import FAKE, HELD_OUT, MEMBERS, in_words
from trustmia.image_sets import title as set_title
from trustmia.measures.metrics import DECISIONS, RANKINGS, TRANSFER, public, realised
from trustmia.report.frames import shares
from trustmia.report.summary import Summary, variant_title

MODELS = {
    "train_accuracy": "Training accuracy",
    "accuracy": "Test accuracy",
    "nll": "NLL",
    "ece": "ECE",
    "overconfidence_error": "Overconfidence error",
    "mmps": "MMPS",
}


@dataclass(frozen=True)
class Cell:
    """Text, and the number it is sorted by; None for a cell of words."""

    text: str
    interval: str = ""
    number: float | None = None


@dataclass(frozen=True)
class Group:
    """Rows that are shown while the reader's choice is `variant` or `attack`, if any."""

    variant: str
    attack: str
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Grid:
    """A table with sortable columns."""

    columns: list[str]
    groups: list[Group]


NOTHING = Cell("–")


class Cells(dict[tuple[str, ...], Cell]):
    """Cells by their keys; `NOTHING` where there is none."""

    def __missing__(self, key: tuple[str, ...]) -> Cell:
        return NOTHING


def grids(summary: Summary) -> dict[str, Grid]:
    """Return the tables by name; those without rows are left out."""
    rates = _cells(summary.rates, ["variant", "attack", "set", "metric"])
    tables = {
        "sets": _sets(summary, rates),
        "ranking": _ranking(summary, rates),
        "models": _models(summary, rates),
    }
    return {name: grid for name, grid in tables.items() if any(g.rows for g in grid.groups)}


def experiments(table: pd.DataFrame) -> Grid | None:
    """Return what each experiment is, or None without a study."""
    if table.empty:
        return None
    rows = []
    for row in table.to_dict(orient="records"):
        changes = json.loads(row["changes"] or "{}")
        cells = [
            Cell(row["experiment"]),
            Cell(variant_title(row["variant"])),
            Cell(str(row["seed"]), number=float(row["seed"])),
            Cell(row["rev"][:10]),
            Cell(", ".join(f"{name}={value}" for name, value in changes.items()) or "none"),
        ]
        rows.append(cells)
    columns = ["Experiment", "Variant", "Seed", "Revision where it ran", "Changed parameters"]
    return Grid(columns, [Group("", "", rows)])


def _cells(table: pd.DataFrame, keys: list[str]) -> Cells:
    rows = table.to_dict(orient="records")
    return Cells({tuple(row[key] for key in keys): _cell(row) for row in rows})


def _cell(row: dict[str, Any]) -> Cell:
    value, low, high = row["value"], row["low"], row["high"]
    if pd.isna(value):
        return Cell("–")
    bounded = not pd.isna(low) and not pd.isna(high)
    return Cell(f"{value:.3f}", f"{low:.3f}–{high:.3f}" if bounded else "", value)


def _at(cell: Cell, fpr: Cell) -> Cell:
    """Say at which FPR a TPR was taken, which may be far below the one that was allowed."""
    if cell.number is None or fpr.number is None:
        return cell
    return Cell(cell.text, f"{cell.interval} at {fpr.number:.4f}".lstrip(), cell.number)


def _sets(summary: Summary, rates: Cells) -> Grid:
    called = _cells(shares(summary), ["variant", "attack", "set"])
    # The FPR is the share called members.
    metrics = {public(k): m.title for k, m in DECISIONS.items() if m.shown and k != "fpr"}
    groups = []
    for variant in summary.variants:
        rows = [
            [
                Cell(set_title(name)),
                Cell(form_title(attack)),
                called[variant, attack, name],
                *(rates[variant, attack, name, metric] for metric in metrics),
            ]
            for name in (MEMBERS, *summary.sets)
            for attack in summary.learned
            if (variant, attack, name) in called
        ]
        groups.append(Group(variant_title(variant), "", rows))
    columns = ["Image set", "Attack", "Called members", *map(in_words, metrics.values())]
    return Grid(columns, groups)


def _ranking(summary: Summary, rates: Cells) -> Grid:
    metrics = {key: in_words(metric.title) for key, metric in RANKINGS.items() if metric.shown}
    groups = []
    for variant in summary.variants:
        rows = []
        for attack in summary.attacks:
            key = variant, attack, HELD_OUT
            cells = [_at(rates[(*key, m)], rates[(*key, realised(m))]) for m in metrics]
            cells.append(rates[variant, attack, FAKE, TRANSFER])
            if any(cell is not NOTHING for cell in cells):
                rows.append([Cell(form_title(attack)), *cells])
        groups.append(Group(variant_title(variant), "", rows))
    return Grid(["Attack", *metrics.values(), "Fakes at 5% FPR"], groups)


def _models(summary: Summary, rates: Cells) -> Grid:
    """Variants against each other: their models, and how one attack fares against them."""
    qualities = _cells(summary.models, ["variant", "metric"])
    groups = []
    for attack in summary.attacks:
        rows = [
            [
                Cell(variant_title(variant)),
                *(qualities[variant, metric] for metric in MODELS),
                rates[variant, attack, HELD_OUT, "auroc"],
                rates.get((variant, attack, FAKE, "fpr")) or rates[variant, attack, FAKE, TRANSFER],
            ]
            for variant in summary.variants
        ]
        groups.append(Group("", form_title(attack), rows))
    columns = ["Variant", *MODELS.values(), "Attack's AUROC", "Fakes called members"]
    return Grid(columns, groups)
