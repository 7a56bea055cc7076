"""An audit's result as files and tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from trustmia import files, paths
from trustmia.attacks import form_title
from trustmia.errors import UserError
from trustmia.image_sets import colours, has_colour
from trustmia.measures.decisions import Roc
from trustmia.measures.ranking_results import NOTE, Entries, with_interval

# Columns of the paper's result files, and the metric each shows.
COLUMNS = {
    "Precision": "precision",
    "Recall": "recall",
    "AUROC": "auroc",
    "AUPR": "aupr",
    "FPR@95%TPR": "fpr_at_95tpr",
    "FPR": "fpr",
    "TP_MMPS": "tp_mmps",
    "FP_MMPS": "fp_mmps",
    "FN_MMPS": "fn_mmps",
    "TN_MMPS": "tn_mmps",
}
STRICT = "tpr_at_1pct_fpr"
TABLE_METRICS = {"FPR": "fpr", "Prec.": "precision", "AUROC": "auroc"}

# Characters of a set's name that a picture has room for.
LONGEST = 40

Sets = dict[str, dict[str, dict[str, Any]]]


def read_metrics(name: str) -> dict[str, Any]:
    """Return what the last run wrote to `metrics/NAME.json`.

    Raises:
        UserError: There is no such file yet, or it is not an object with content.
    """
    path = paths.METRICS / f"{name}.json"
    try:
        found = files.read_json(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: not found; run `dvc repro`, in the root of the repository"
        ) from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable ({error}); run `git restore {path}`") from error
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path}: holds no metrics; run `git restore {path}`, or `dvc repro`")
    return found


def as_metrics(result: Any) -> dict[str, Any]:
    """Return the whole result as `metrics.json` holds it."""
    sets: dict[str, dict[str, dict[str, Any]]] = {
        name: {attack: dict(values) for attack, values in attacks.items()}
        for name, attacks in result.sets.items()
    }
    for name, attacks in result.intervals.items():
        for attack, intervals in attacks.items():
            sets[name][attack]["ci95"] = intervals
    return {
        "parameters": result.parameters,
        "notes": result.notes,
        "sizes": result.sizes,
        "ties": result.ties,
        "sets": sets,
    }


def as_summary(result: Any, ranking: Entries) -> dict[str, Any]:
    """Return what `dvc metrics diff` compares: per attack its quality, and FPR per set.

    Precision and recall are those against the first non-member set; AUROC and TPR at 1% FPR
    are the ranking's, of the logits where they are known, with the FPR that was realised. An
    attack that learns no decision has the FPRs at the threshold that gives 5% on held-out
    images. All are fractions; null where no threshold has the FPR.

    Args:
        result: The attacks on scores.
        ranking: Attack → what `ranking_results.as_entry` returned, of all attacks.
    """
    first = next(iter(result.sets))
    summary: dict[str, Any] = {}
    for attack, entry in ranking.items():
        summary[attack] = {name: entry[name] for name in ("auroc", STRICT)}
        summary[attack]["realised_fpr"] = entry["realised_fpr"][STRICT]
        if attack in result.rocs:
            reached = result.sets[first][attack]
            summary[attack] |= {name: reached[name] for name in ("precision", "recall")}
            rates = {name: result.sets[name][attack]["fpr"] for name in result.sets}
        else:
            rates = {name: rate["fpr"] for name, rate in entry["fpr_at_5pct"].items()}
        summary[attack]["fpr"] = rates
    return summary


def as_csv(sets: Sets) -> pd.DataFrame:
    """Return the paper's table: one row per non-member set, ten columns per attack."""
    rows = []
    for name, attacks in sets.items():
        row: dict[str, Any] = {"Set": name}
        for attack, metrics in attacks.items():
            for column, metric in COLUMNS.items():
                row[f"{form_title(attack)} Attack {column}"] = metrics[metric]
        rows.append(row)
    return pd.DataFrame(rows)


def as_table(metrics: dict[str, Any], style: str) -> str:
    """Return tables for people, one for each of FPR, precision and AUROC.

    Args:
        metrics: What `as_metrics` returned.
        style: A format of the package `tabulate`, e.g. `simple` or `github`.
    """
    sets: Sets = metrics["sets"]
    first = next(iter(sets.values()))
    titles = {a: form_title(a) for a in first}
    tables = [
        _metric_table(metrics, titles, column, metric, style)
        for column, metric in TABLE_METRICS.items()
    ]
    recalls = ", ".join(f"{titles[a]} {_cell(first[a], 'recall')}" for a in titles)
    members = f"Share of the {metrics['sizes']['members']} members called members (recall)"
    notes = [f"Rates are fractions. {members}: {recalls}."]
    if any("ci95" in values for values in first.values()):
        notes.append(NOTE)
    return "\n\n".join([*tables, *notes])


def _metric_table(
    metrics: dict[str, Any], titles: dict[str, str], column: str, metric: str, style: str
) -> str:
    headers = ["image set", "images", *(f"{title} {column}" for title in titles.values())]
    rows = [
        [name, str(metrics["sizes"][name]), *(_cell(values[a], metric) for a in titles)]
        for name, values in metrics["sets"].items()
    ]
    aligned = ["left"] + ["right"] * (len(headers) - 1)
    return str(tabulate(rows, headers, tablefmt=style, colalign=aligned, disable_numparse=True))


def _cell(values: dict[str, Any], metric: str) -> str:
    return with_interval(values[metric], values.get("ci95", {}).get(metric))


def roc_table(rocs: dict[str, Roc]) -> pd.DataFrame:
    """Return the ROC curves of one attack as rows `set`, `fpr`, `tpr`."""
    parts = [pd.DataFrame({"set": name, "fpr": r.fpr, "tpr": r.tpr}) for name, r in rocs.items()]
    return pd.concat(parts, ignore_index=True)


def draw_rocs(path: Path, title: str, rocs: dict[str, Roc]) -> None:
    """Draw one attack's ROC curves, linear and logarithmic, as a PNG."""
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
    except UnicodeDecodeError as error:
        raise UserError(f"matplotlibrc: not readable by matplotlib ({error})") from error

    # Not the style of a user's matplotlibrc: the same numbers give the same picture.
    with style.context(["default", {"font.size": 10, "axes.spines.top": False}]):
        figure = Figure(figsize=(10.5, 4.4), layout="constrained")
        linear, logarithmic = figure.subplots(1, 2)
        palette = colours(list(rocs))
        for name, roc in rocs.items():
            # Sets beyond the palette share its colours; dashes tell them apart.
            line = {"color": palette[name], "linestyle": "-" if has_colour(name) else "--"}
            linear.plot(roc.fpr, roc.tpr, **line)
            seen = (roc.fpr > 0) & (roc.tpr > 0)
            logarithmic.plot(roc.fpr[seen], roc.tpr[seen], **line)
        diagonal = np.geomspace(1e-4, 1, 50)
        for axes in (linear, logarithmic):
            axes.plot(diagonal, diagonal, color="#999999", linewidth=0.8, linestyle="--")
            axes.set_xlabel("false-positive rate")
        linear.set_ylabel("true-positive rate")
        logarithmic.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(1e-4, 1.05))
        legend = figure.legend(
            handles=linear.lines[:-1],
            labels=[name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in rocs],
            title="non-members",
            loc="outside right upper",
            frameon=False,
            fontsize=9,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a set may be called `$x$`
        figure.suptitle(title)
        with files.atomic_file(path) as temporary:
            figure.savefig(temporary, dpi=120, metadata={"Software": None})
