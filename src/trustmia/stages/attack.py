"""Stage `attack`: run all attacks, judge what they say."""

import pandas as pd

from trustmia import files, paths
from trustmia.attacks import ATTACKS
from trustmia.attacks.base import Need, Refused
from trustmia.attacks.outcome import AttackRun
from trustmia.attacks.run import run_attacks
from trustmia.errors import UserError
from trustmia.measures.roc import roc_curves, roc_table
from trustmia.measures.table import measure
from trustmia.measures.views import dvc_summary, paper_table
from trustmia.params import AttackParams, load_params
from trustmia.signals.container import Signals, read_score_files
from trustmia.signals.decisions import write_decisions
from trustmia.signals.many_models import read_signals
from trustmia.signals.scores import ScoreSet


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
    files.write_table(paths.RESULTS, results)
    files.write_table(paths.METRICS / "attack_results.csv", paper_table(results), "%.6f")
    files.write_json(paths.METRICS / "attack.json", dvc_summary(results))
    called = {name: f.decisions.called for name, f in run.forms.items() if f.decisions is not None}
    write_decisions(paths.DECISIONS, called, len(target.member))
    with files.atomic_folder(paths.PLOTS / "roc") as fresh:
        for form, rocs in roc_curves(run).items():
            files.write_table(fresh / f"{form}.csv", roc_table(rocs), "%.7f")
