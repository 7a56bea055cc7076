"""Stage `attack`: fit attacks on the shadow's scores, judge the target's."""

import numpy as np
import pandas as pd

from trustmia import entry, files, layout
from trustmia.attacks import AttackSettings
from trustmia.audit import AuditResult, run_audit
from trustmia.params import load_params
from trustmia.results import as_csv, as_metrics, as_summary, roc_table
from trustmia.score_files import MEMBERS, ScoreSet, read_scores

HISTOGRAM_BINS = 25


def main() -> None:
    """Write `metrics/attack*.{json,csv}`, `plots/roc`, `plots/score_histograms.csv`."""
    params = load_params()
    shadow = read_scores(layout.SCORES / "shadow.npz", needs_sets=False)
    target = read_scores(layout.SCORES / "target.npz", needs_sets=True)
    settings = AttackSettings(seed=params.seed, **params.attack.model_dump(exclude={"methods"}))
    result = run_audit(shadow, target, params.attack.methods, settings)
    write(result, target)


def write(result: AuditResult, target: ScoreSet) -> None:
    """Write metrics for people and DVC, and the points of the plots."""
    files.write_json(layout.METRICS / "attack.json", as_summary(result))
    files.write_json(layout.METRICS / "attack_results.json", as_metrics(result))
    files.write_table(layout.METRICS / "attack_results.csv", as_csv(result.sets), "%.6f")
    with files.atomic_folder(layout.PLOTS / "roc") as fresh:
        for attack, rocs in result.rocs.items():
            files.write_table(fresh / f"{attack}.csv", roc_table(rocs), "%.7f")
    files.write_table(layout.PLOTS / "score_histograms.csv", histograms(target), "%.6f")


def histograms(target: ScoreSet) -> pd.DataFrame:
    """Return how the maximum scores of members and of each set are distributed.

    Returns:
        Rows `set`, `group` (`members` or `non-members`), `maximum score` (middle of a bin)
        and `share` of the group's images in the bin.
    """
    lowest = 1 / target.scores.shape[1]
    edges = np.linspace(lowest, 1, HISTOGRAM_BINS + 1)
    maxima = target.scores.max(axis=1)
    middles = (edges[:-1] + edges[1:]) / 2
    tables = []
    for name, rows in target.nonmember_sets().items():
        groups = {MEMBERS: maxima[target.member], "non-members": maxima[rows]}
        for group, values in groups.items():
            counts = np.histogram(np.clip(values, lowest, 1), edges)[0]
            columns = {"maximum score": middles, "share": counts / len(values)}
            tables.append(pd.DataFrame({"set": name, "group": group, **columns}))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    entry.run("attack", main)
