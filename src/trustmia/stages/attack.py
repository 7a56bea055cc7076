"""Stage `attack`: fit attacks on the shadow's scores, judge the target's."""

import numpy as np
import pandas as pd

from trustmia import files, paths
from trustmia.attacks import ATTACKS, AttackSettings
from trustmia.attacks.reference import FAMILIES, ReferenceSettings
from trustmia.attacks.run_on_scores import run_audit
from trustmia.attacks.run_on_signals import ReferenceScores, run_reference_attacks
from trustmia.attacks.salem import check_k
from trustmia.image_sets import MEMBERS
from trustmia.measures.ranking_results import rankings
from trustmia.measures.results import roc_table
from trustmia.params import AttackParams, load_params
from trustmia.signals.decisions import Decisions, write_decisions
from trustmia.signals.many_models import read_signals
from trustmia.signals.scores import ScoreSet, read_scores
from trustmia.stages._runner import run_stage

HISTOGRAM_BINS = 25
# The audited target's row in the signals.
TARGET = 0


def main() -> None:
    """Write `metrics/attack*`, `metrics/ranking*`, the decisions, and the plots' points."""
    params = load_params()
    shadow = read_scores(paths.SCORES / "shadow.npz", needs_sets=False)
    target = read_scores(paths.SCORES / "target.npz", needs_sets=True)
    if "salem" in params.attack.methods:
        check_k(params.attack.salem_k, shadow.scores.shape[1], "params.yaml: attack.salem_k")
    result = run_audit(
        shadow,
        target,
        [name for name in params.attack.methods if name in ATTACKS],
        score_settings(params.attack, params.seed),
        params.attack.resamples,
    )
    for note in result.notes:
        print(note)
    said = reference_scores(params.attack)
    if said is not None and said.without_spread:
        print(f"{said.without_spread} images have reference models that show no spread")
    ranking = rankings(result, target, said, params.attack.resamples, params.seed)
    write(result, target, ranking)
    write_rocs(result, said)


def score_settings(params: AttackParams, seed: int) -> AttackSettings:
    """Return the settings of the attacks that read scores alone."""
    own = AttackSettings.__dataclass_fields__.keys() - {"seed"}
    return AttackSettings(seed=seed, **{key: getattr(params, key) for key in own})


def reference_scores(params: AttackParams) -> ReferenceScores | None:
    """Run the attacks that read signals; return None if none is asked for."""
    families = [name for name in params.methods if name in FAMILIES]
    if not families:
        return None
    signals = read_signals(paths.SIGNALS)
    tune = params.rmia.a == "tune" and "rmia" in families and len(signals.member) > 1
    settings = ReferenceSettings(
        lira_variance=params.lira.variance,
        rmia_a=ReferenceSettings.rmia_a if params.rmia.a == "tune" else params.rmia.a,
        rmia_gamma=params.rmia.gamma,
    )
    return run_reference_attacks(signals, TARGET, families, settings, tune)


def write(run: AttackRun, results: pd.DataFrame, target: ScoreSet) -> None:
    """Write results for people and DVC, the decisions, and the points of the plots."""
    write_results(paths.RESULTS, results)
    files.write_table(paths.METRICS / "attack_results.csv", paper_table(results), "%.6f")
    files.write_json(paths.METRICS / "attack.json", dvc_summary(results))
    learned = {name: said.decisions for name, said in run.forms.items() if said.decisions}
    called = np.stack([decisions.called for decisions in learned.values()])
    write_decisions(paths.DECISIONS, Decisions(tuple(learned), called))
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


if __name__ == "__main__":
    run_stage(main)
