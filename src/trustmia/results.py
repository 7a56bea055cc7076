"""An audit's result as files and tables."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tabulate import tabulate

from trustmia import files, layout
from trustmia.attacks import ATTACKS
from trustmia.audit import AuditResult
from trustmia.errors import UserError
from trustmia.evaluation import Roc

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
TABLE_METRICS = {"FPR": "fpr", "Prec.": "precision", "AUROC": "auroc"}

# Okabe & Ito's palette, which colour-blind people can tell apart; sets without a colour
# of their own take the ones left in turn.
SET_COLOURS = {
    "members": "#000000",
    "original": "#0072B2",
    "permuted": "#56B4E9",
    "scaled": "#009E73",
    "no_normalization": "#F0E442",
    "fake": "#D55E00",
    "digits": "#CC79A7",
    "patches": "#E69F00",
}
OTHER_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")

Sets = dict[str, dict[str, dict[str, float]]]


def read_metrics(name: str) -> dict[str, Any]:
    """Return what the last run wrote to `metrics/NAME.json`.

    Raises:
        UserError: There is no such file yet, or it is not JSON.
    """
    path = layout.METRICS / f"{name}.json"
    try:
        return files.read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run `dvc repro`") from error
    except ValueError as error:
        raise UserError(f"{path}: not readable ({error}); run `dvc checkout`") from error


def as_metrics(result: AuditResult) -> dict[str, Any]:
    """Return the whole result as `metrics.json` holds it."""
    return {"parameters": result.parameters, "sizes": result.sizes, "sets": result.sets}


def as_summary(result: AuditResult) -> dict[str, Any]:
    """Return what `dvc metrics diff` compares: per attack its quality, and FPR per set.

    Precision, recall and AUROC are those against the first non-member set.
    """
    first = next(iter(result.sets))
    summary: dict[str, Any] = {}
    for attack in result.rocs:
        reached = result.sets[first][attack]
        summary[attack] = {name: reached[name] for name in ("auroc", "precision", "recall")}
        summary[attack]["fpr"] = {name: result.sets[name][attack]["fpr"] for name in result.sets}
    return summary


def as_csv(sets: Sets) -> pd.DataFrame:
    """Return the paper's table: one row per non-member set, ten columns per attack."""
    rows = []
    for name, attacks in sets.items():
        row: dict[str, Any] = {"Set": name}
        for attack, metrics in attacks.items():
            for column, metric in COLUMNS.items():
                row[f"{ATTACKS[attack].title} {column}"] = metrics[metric]
        rows.append(row)
    return pd.DataFrame(rows)


def as_table(metrics: dict[str, Any], style: str) -> str:
    """Return a table for people.

    Args:
        metrics: What `as_metrics` returned.
        style: A format of the package `tabulate`, e.g. `simple` or `github`.
    """
    sets: Sets = metrics["sets"]
    attacks = list(next(iter(sets.values())))
    titles = {a: ATTACKS[a].title.removesuffix(" Attack") for a in attacks}
    headers = ["image set", "images"]
    headers += [f"{titles[a]} {column}" for a in attacks for column in TABLE_METRICS]
    rows = [
        [name, str(metrics["sizes"][name])]
        + [f"{values[a][metric]:.3f}" for a in attacks for metric in TABLE_METRICS.values()]
        for name, values in sets.items()
    ]
    first = next(iter(sets.values()))
    recalls = ", ".join(f"{titles[a]} {first[a]['recall']:.3f}" for a in attacks)
    aligned = ["left"] + ["right"] * (len(headers) - 1)
    table = tabulate(rows, headers, tablefmt=style, colalign=aligned, disable_numparse=True)
    members = metrics["sizes"]["members"]
    return f"{table}\n\nShare of the {members} members called members (recall): {recalls}."


def roc_table(rocs: dict[str, Roc]) -> pd.DataFrame:
    """Return the ROC curves of one attack as rows `set`, `fpr`, `tpr`."""
    parts = [pd.DataFrame({"set": name, "fpr": r.fpr, "tpr": r.tpr}) for name, r in rocs.items()]
    return pd.concat(parts, ignore_index=True)


def colours(sets: list[str]) -> dict[str, str]:
    """Give every image set its colour."""
    others = [name for name in sets if name not in SET_COLOURS]
    spare = {name: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, name in enumerate(others)}
    return {name: SET_COLOURS.get(name) or spare[name] for name in sets}


def draw_rocs(path: Path, title: str, rocs: dict[str, Roc]) -> None:
    """Draw one attack's ROC curves, linear and logarithmic, as a PNG."""
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False}):
        figure = Figure(figsize=(10.5, 4.4), layout="constrained")
        linear, logarithmic = figure.subplots(1, 2)
        palette = colours(list(rocs))
        for name, roc in rocs.items():
            # Sets beyond the palette share its colours; dashes tell them apart.
            line = {"color": palette[name], "linestyle": "-" if name in SET_COLOURS else "--"}
            linear.plot(roc.fpr, roc.tpr, label=name, **line)
            seen = (roc.fpr > 0) & (roc.tpr > 0)
            logarithmic.plot(roc.fpr[seen], roc.tpr[seen], **line)
        diagonal = np.geomspace(1e-4, 1, 50)
        for axes in (linear, logarithmic):
            axes.plot(diagonal, diagonal, color="#999999", linewidth=0.8, linestyle="--")
            axes.set_xlabel("false-positive rate")
        linear.set_ylabel("true-positive rate")
        logarithmic.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(1e-4, 1.05))
        figure.legend(title="non-members", loc="outside right upper", frameon=False, fontsize=9)
        figure.suptitle(title)
        with files.atomic_file(path) as temporary:
            figure.savefig(temporary, dpi=120, metadata={"Software": None})


def write_audit(folder: Path, result: AuditResult) -> None:
    """Write `metrics.json`, `attack_results.csv`, and per attack ROC points and picture.

    Either all of them are written or none.
    """
    with files.all_or_nothing(folder) as fresh:
        files.write_json(fresh / "metrics.json", as_metrics(result))
        files.write_table(fresh / "attack_results.csv", as_csv(result.sets), "%.6f")
        for attack, rocs in result.rocs.items():
            files.write_table(fresh / f"roc_{attack}.csv", roc_table(rocs), "%.7f")
            draw_rocs(fresh / f"roc_{attack}.png", ATTACKS[attack].title, rocs)
