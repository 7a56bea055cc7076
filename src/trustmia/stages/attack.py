"""Stage `attack`: run all attacks, judge what they say."""

import numpy as np
import pandas as pd

from trustmia import files, paths
from trustmia.attacks import ATTACKS
from trustmia.attacks.base import Need, Refused
from trustmia.attacks.outcome import AttackRun
from trustmia.attacks.run import run_attacks
from trustmia.errors import UserError
from trustmia.image_sets import MEMBERS
from trustmia.measures.roc import roc_curves, roc_table
from trustmia.measures.table import measure, write_results
from trustmia.measures.views import dvc_summary, paper_table
from trustmia.params import AttackParams, load_params
from trustmia.signals.container import Signals, read_score_files
from trustmia.signals.decisions import write_decisions
from trustmia.signals.many_models import read_signals
from trustmia.signals.scores import ScoreSet

HISTOGRAM_BINS = 25


def main() -> None:
    """Write `metrics/results.csv` and its views, the decisions, and the plots' points."""
    params = load_params()
    signals = read(params.attack)
    try:
        run = run_attacks(signals, params.attack.methods, params.attack.settings(), params.seed)
    except Refused as error:
        raise UserError(f"params.yaml: attack.{error}") from error
    for note in (*run.notes, *run.left_out_note()):
        print(note)
    if run.comparison and (images := run.comparison.audited.without_spread()):
        print(f"{images} images have reference models that show no spread")
    assert signals.target is not None
    write(run, measure(run, params.attack.resamples, params.seed), signals.target)


def read(params: AttackParams) -> Signals:
    """Read what the attacks that are asked for need; the audited target is the first model."""
    alone = all(ATTACKS[name].always_needs(Need.SHADOW) for name in params.methods)
    return read_score_files(
        paths.SCORES / "shadow.npz",
        paths.SCORES / "target.npz",
        None if alone else read_signals(paths.SIGNALS),
    )


def write(run: AttackRun, results: pd.DataFrame, target: ScoreSet) -> None:
    """Write the results and their views, the decisions, and the points of the plots."""
    write_results(paths.RESULTS, results)
    files.write_table(paths.METRICS / "attack_results.csv", paper_table(results), "%.6f")
    files.write_json(paths.METRICS / "attack.json", dvc_summary(results))
    called = {name: f.decisions.called for name, f in run.forms.items() if f.decisions is not None}
    write_decisions(paths.DECISIONS, called, len(target.member))
    files.write_table(paths.PLOTS / "score_histograms.csv", histograms(target), "%.6f")
    with files.atomic_folder(paths.PLOTS / "roc") as fresh:
        for form, rocs in roc_curves(run).items():
            files.write_table(fresh / f"{form}.csv", roc_table(rocs), "%.7f")


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
