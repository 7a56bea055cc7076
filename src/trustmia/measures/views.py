"""Views of the long table of results: the paper's table, JSON of runs and audits, text tables."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from trustmia.attacks import form_title
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.measures.bootstrap import Interval
from trustmia.measures.metrics import (
    DECISIONS,
    NO_DECISIONS,
    RANKINGS,
    STRICT,
    THRESHOLDS,
    TRANSFER,
    public,
    realised,
)
from trustmia.measures.table import TIES, UNSCORED

# Columns of the paper's result files, and the metric each shows.
COLUMNS = {
    "Precision": "precision",
    "Recall": "recall",
    "AUROC": "paper_auroc",
    "AUPR": "paper_aupr",
    "FPR@95%TPR": "paper_fpr_at_95tpr",
    "FPR": "fpr",
    "TP_MMPS": "tp_mmps",
    "FP_MMPS": "fp_mmps",
    "FN_MMPS": "fn_mmps",
    "TN_MMPS": "tn_mmps",
}
NOTE = (
    "In brackets: 95% bootstrap interval over images, with the models as they are; it does not "
    "cover what another seed changes."
)
REALISED = (
    'Fractions. After "at": the FPR that was realised, the largest up to the one in the title; '
    "–: no threshold has one."
)


class Cell(NamedTuple):
    """A row of the table; None where there is no number."""

    value: float | None
    interval: Interval | None
    n: int


# Attack → set → metric; the set is empty for what the attack learned.
Cells = dict[str, dict[str, dict[str, Cell]]]
NOTHING = Cell(None, None, 0)


def cells(results: pd.DataFrame) -> Cells:
    """Return the rows of a table by attack, set and metric, in its order."""
    attacks: Cells = {}
    for attack, name, metric, value, low, high, n in results.itertuples(index=False):
        cell = Cell(
            None if pd.isna(value) else value,
            None if pd.isna(low) else (low, high),
            0 if pd.isna(n) else int(n),
        )
        attacks.setdefault(attack, {}).setdefault(name, {})[metric] = cell
    return attacks


def _decided(results: pd.DataFrame) -> Cells:
    """Return the attacks that learn a decision."""
    return {
        attack: sets
        for attack, sets in cells(results).items()
        if any("recall" in metrics for metrics in sets.values())
    }


def _ranked(results: pd.DataFrame) -> Cells:
    """Return the attacks that were judged against held-out images."""
    return {a: s for a, s in cells(results).items() if "auroc" in s.get(HELD_OUT, {})}


def _by_set(attacks: Cells, metric: str) -> dict[str, dict[str, dict[str, Cell]]]:
    """Return set → attack → metrics, of sets and attacks that have a metric."""
    by_set: dict[str, dict[str, dict[str, Cell]]] = {}
    for attack, sets in attacks.items():
        for name, metrics in sets.items():
            if metric in metrics:
                by_set.setdefault(name, {})[attack] = metrics
    return by_set


def paper_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return the paper's table: one row per non-member set, ten columns per attack."""
    rows = []
    for name, attacks in _by_set(_decided(results), "fpr").items():
        row: dict[str, Any] = {"Set": name}
        for attack, metrics in attacks.items():
            for column, metric in COLUMNS.items():
                row[f"{form_title(attack)} Attack {column}"] = metrics[metric].value
        rows.append(row)
    return pd.DataFrame(rows)


def dvc_summary(results: pd.DataFrame) -> dict[str, Any]:
    """Return what `dvc metrics diff` compares: per attack its quality, and FPR per set.

    Precision and recall are those against the first non-member set; AUROC and TPR at 1% FPR
    are the ranking's, of the logits where they are known, with the FPR that was realised. An
    attack that learns no decision has the FPRs at the threshold that gives 5% on held-out
    images. All are fractions; null where no threshold has the FPR.
    """
    summary: dict[str, Any] = {}
    for attack, sets in _ranked(results).items():
        ranked = sets[HELD_OUT]
        summary[attack] = {name: ranked[name].value for name in ("auroc", STRICT)}
        summary[attack]["realised_fpr"] = ranked[realised(STRICT)].value
        decided = [metrics for metrics in sets.values() if "recall" in metrics]
        for metrics in decided[:1]:
            summary[attack] |= {name: metrics[name].value for name in ("precision", "recall")}
        fpr = "fpr" if decided else TRANSFER
        summary[attack]["fpr"] = {k: m[fpr].value for k, m in sets.items() if fpr in m}
    return summary


def nested(results: pd.DataFrame) -> dict[str, Any]:
    """Return the decisions' metrics as an audit's `metrics.json` holds them.

    Returns:
        `parameters`, what the attacks learned; `sizes`, number of images of `members` and of each
        set; `ties`, set → attack → images that share the set's largest score; `sets`, set →
        attack → metric, and `ci95` with the intervals of those that have one.
    """
    decided = _decided(results)
    sets = _by_set(decided, "fpr")
    sizes: dict[str, int] = {}
    for name, attacks in sets.items():
        for metrics in attacks.values():
            sizes |= {MEMBERS: metrics["recall"].n, name: metrics["fpr"].n}
    return {
        "parameters": {
            key: cell.value for own in decided.values() for key, cell in own.get("", {}).items()
        },
        "sizes": sizes,
        "ties": {
            name: {attack: int(metrics[TIES].value or 0) for attack, metrics in attacks.items()}
            for name, attacks in sets.items()
        },
        "sets": {
            name: {attack: _entry(metrics) for attack, metrics in attacks.items()}
            for name, attacks in sets.items()
        },
    }


def _entry(metrics: dict[str, Cell]) -> dict[str, Any]:
    decisions = {public(key): metrics[key] for key in DECISIONS}
    intervals = {key: cell.interval for key, cell in decisions.items() if cell.interval}
    values = {key: cell.value for key, cell in decisions.items()}
    return values | ({"ci95": intervals} if intervals else {})


def ranking_entries(results: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return how attacks rank members before held-out images, as `metrics.json` holds it.

    Returns:
        Attack → `title`, the metrics, their `ci95`, the `realised_fpr` of each `tpr_at_…`,
        `fpr_at_…` by set, and, of an attack without a decision of its own, `num_unscored`, the
        audited images that lack the reference models for it; null is what cannot be had.
    """
    entries: dict[str, dict[str, Any]] = {}
    for attack, sets in _ranked(results).items():
        metrics = sets[HELD_OUT]
        entries[attack] = {"title": form_title(attack)} | _ranking(metrics)
        resampled = [key for key, metric in RANKINGS.items() if metric.interval]
        entries[attack]["ci95"] = {key: metrics[key].interval for key in resampled}
        for point in THRESHOLDS:
            entries[attack][point] = {
                name: {"fpr": rates[point].value, "ci95": rates[point].interval}
                for name, rates in sets.items()
                if point in rates
            }
        if UNSCORED in metrics:
            lacking = (sets[name][UNSCORED].value or 0 for name in (MEMBERS, HELD_OUT))
            entries[attack]["num_unscored"] = int(sum(lacking))
    return entries


def rankings(results: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return set → attack → how it ranks members before that set: metrics and `realised_fpr`."""
    return {
        name: {attack: _ranking(metrics) for attack, metrics in attacks.items()}
        for name, attacks in _by_set(cells(results), "auroc").items()
    }


def _ranking(metrics: dict[str, Cell]) -> dict[str, Any]:
    values = {key: metrics[key].value for key in RANKINGS}
    fprs = {key: values.pop(realised(key)) for key in RANKINGS if realised(key) in values}
    return values | {"realised_fpr": fprs}


def decision_tables(results: pd.DataFrame, style: str) -> str:
    """Return tables for people, one for each metric of decisions that is shown.

    Args:
        results: The long table.
        style: A format of the package `tabulate`, e.g. `simple` or `github`.
    """
    decided = _decided(results)
    if not decided:
        return NO_DECISIONS
    sets = _by_set(decided, "fpr")
    first = next(iter(sets.values()))
    tables = []
    for key, metric in DECISIONS.items():
        if metric.shown:
            titles = [f"{form_title(a)} {metric.heading or metric.title}" for a in decided]
            rows = [
                [
                    name,
                    str(next(iter(attacks.values()))["fpr"].n),
                    *(with_interval(attacks[a][key]) for a in decided),
                ]
                for name, attacks in sets.items()
            ]
            tables.append(text_table(rows, ["image set", "images", *titles], style, numbers=True))
    members = next(iter(first.values()))["recall"].n
    recall = ", ".join(f"{form_title(a)} {with_interval(m['recall'])}" for a, m in first.items())
    share = f"Share of the {members} members called members (recall): {recall}."
    return "\n\n".join([*tables, f"Rates are fractions. {share}"]) + _note(decided, DECISIONS)


def ranking_table(results: pd.DataFrame, style: str) -> str:
    """Return how well each attack ranks members before held-out images."""
    attacks = _ranked(results)
    titles = {key: metric.title for key, metric in RANKINGS.items() if metric.shown}
    rows = [[a, *(_at(sets[HELD_OUT], key) for key in titles)] for a, sets in attacks.items()]
    table = text_table(rows, ["attack", *titles.values()], style)
    return f"{table}\n\n{REALISED}{_note(attacks, RANKINGS)}"


def _at(metrics: dict[str, Cell], key: str) -> str:
    """Return a TPR with the FPR that was realised, which may be far below the one allowed."""
    at = metrics.get(realised(key), NOTHING).value
    return with_interval(metrics[key]) + ("" if at is None else f" at {at:.4f}")


def rates_table(results: pd.DataFrame, style: str) -> str:
    """Return what share of each further set each attack calls members at 5% FPR.

    Attacks that judge no further set are left out.
    """
    attacks = {
        attack: sets
        for attack, sets in _ranked(results).items()
        if sum(TRANSFER in metrics for metrics in sets.values()) > 1
    }
    names = list(_by_set(attacks, TRANSFER))
    rows = []
    for attack, sets in attacks.items():
        called = (sets.get(name, {}).get(TRANSFER, NOTHING) for name in names)
        rows.append([attack, *map(with_interval, (sets[HELD_OUT]["tpr_at_5pct_fpr"], *called))])
    table = text_table(rows, ["attack", "members", *names], style)
    return (
        "Share called members, as a fraction, at the threshold that gives at most 5% FPR on "
        "held-out images (–: none does, as more of them share the largest attack score, or they "
        f"are too few):\n\n{table}{_note(attacks, RANKINGS)}"
    )


def text_table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], style: str, numbers: bool = False
) -> str:
    """Return a table as text, its cells as they are, with a header for each column.

    `style` is as in `decision_tables`; `numbers` aligns all columns but the first as such.
    """
    aligned = ["left"] + ["right"] * (len(headers) - 1) if numbers else None
    return tabulate(rows, headers, tablefmt=style, colalign=aligned, disable_numparse=True)


def _note(attacks: Cells, metrics: Collection[str]) -> str:
    """Return what intervals cover, if any of the metrics has one."""
    resampled = any(
        cell.interval and key in metrics
        for sets in attacks.values()
        for cells_of_set in sets.values()
        for key, cell in cells_of_set.items()
    )
    return f"\n\n{NOTE}" if resampled else ""


def with_interval(cell: Cell) -> str:
    """Return a number to three digits, with its interval in brackets if it has one."""
    if cell.value is None:
        return "–"
    interval = cell.interval
    both = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{cell.value:.3f}{both}"
