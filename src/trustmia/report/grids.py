"""The report's tables of numbers: cells with intervals, grouped by what a reader chooses."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

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


Lookup = dict[tuple[str, ...], Cell]


def grids(summary: Summary) -> dict[str, Grid]:
    """Return the tables by name; those without rows are left out."""
    found = {
        "sets": _sets(summary),
        "ranking": _ranking(summary),
        "models": _models(summary),
    }
    return {name: grid for name, grid in found.items() if any(g.rows for g in grid.groups)}


def experiments(table: pd.DataFrame) -> Grid | None:
    """Return what each experiment is, or None without a study."""
    if table.empty:
        return None
    rows = [
        [
            Cell(str(row["experiment"])),
            Cell(variant_title(str(row["variant"]))),
            Cell(str(row["seed"]), number=float(row["seed"])),
            Cell(str(row["rev"])[:10]),
            Cell(_changes(str(row["changes"]))),
        ]
        for _, row in table.iterrows()
    ]
    columns = ["Experiment", "Variant", "Seed", "Revision where it ran", "Changed parameters"]
    return Grid(columns, [Group("", "", rows)])


def _changes(text: str) -> str:
    changes = json.loads(text) if text else {}
    return ", ".join(f"{name}={value}" for name, value in changes.items()) or "none"


def _lookup(table: pd.DataFrame, keys: list[str]) -> Lookup:
    return {
        tuple(row[key] for key in keys): _cell(row["value"], row["low"], row["high"])
        for row in table.to_dict(orient="records")
    }


def _at(cell: Cell, realised: Cell | None) -> Cell:
    """Say at which FPR a TPR was taken, which may be far below the one that was allowed."""
    if realised is None or cell.number is None or realised.number is None:
        return cell
    place = f"at {realised.number:.4f}"
    return Cell(cell.text, f"{cell.interval} {place}".lstrip(), cell.number)


def _cell(value: float, low: float, high: float) -> Cell:
    if value != value:
        return Cell("–")
    known = low == low and high == high
    return Cell(f"{value:.3f}", f"{low:.3f}–{high:.3f}" if known else "", value)


def _sets(summary: Summary) -> Grid:
    called = _lookup(shares(summary), ["variant", "attack", "set"])
    rates = _lookup(summary.rates, ["variant", "attack", "set", "metric"])
    missing = Cell("–")
    # The FPR is the share called members.
    shown = {public(k): m.title for k, m in DECISIONS.items() if m.shown and k != "fpr"}
    groups = []
    for variant in summary.variants:
        rows = []
        for name in (MEMBERS, *summary.sets):
            for attack in summary.learned:
                key = (variant, attack, name)
                if key in called:
                    cells = [Cell(set_title(name)), Cell(form_title(attack)), called[key]]
                    cells += [rates.get((*key, m), missing) for m in shown]
                    rows.append(cells)
        groups.append(Group(variant_title(variant), "", rows))
    columns = ["Image set", "Attack", "Called members", *map(in_words, shown.values())]
    return Grid(columns, groups)


def _ranking(summary: Summary) -> Grid:
    rates = _lookup(summary.rates, ["variant", "attack", "set", "metric"])
    missing = Cell("–")
    shown = {key: in_words(metric.title) for key, metric in RANKINGS.items() if metric.shown}
    groups = []
    for variant in summary.variants:
        rows = []
        for attack in summary.attacks:
            key = variant, attack, HELD_OUT
            found = [
                _at(rates.get((*key, metric), missing), rates.get((*key, realised(metric))))
                for metric in shown
            ]
            found.append(rates.get((variant, attack, FAKE, TRANSFER), missing))
            if any(cell is not missing for cell in found):
                rows.append([Cell(form_title(attack)), *found])
        groups.append(Group(variant_title(variant), "", rows))
    return Grid(["Attack", *shown.values(), "Fakes at 5% FPR"], groups)


def _models(summary: Summary) -> Grid:
    """Variants against each other: their models, and how one attack fares against them."""
    qualities = _lookup(summary.models, ["variant", "metric"])
    rates = _lookup(summary.rates, ["variant", "attack", "set", "metric"])
    missing = Cell("–")

    def fakes(variant: str, attack: str) -> Cell:
        own = rates.get((variant, attack, FAKE, "fpr"))
        return own or rates.get((variant, attack, FAKE, TRANSFER), missing)

    groups = []
    for attack in summary.attacks:
        rows = [
            [
                Cell(variant_title(variant)),
                *_row(qualities, ((variant, metric) for metric in MODELS)),
                rates.get((variant, attack, HELD_OUT, "auroc"), missing),
                fakes(variant, attack),
            ]
            for variant in summary.variants
        ]
        groups.append(Group("", form_title(attack), rows))
    columns = ["Variant", *MODELS.values(), "Attack's AUROC", "Fakes called members"]
    return Grid(columns, groups)


def _row(cells: Lookup, keys: Iterable[tuple[str, ...]]) -> list[Cell]:
    return [cells.get(key, Cell("–")) for key in keys]
