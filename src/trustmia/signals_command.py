"""`trustmia audit --signals`: attacks with reference models on what anybody's models say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from trustmia import files
from trustmia.arrays import Bool, Float64
from trustmia.attacks.reference import FAMILIES, REFERENCE_ATTACKS, ReferenceSettings
from trustmia.attacks.reference.summary import Summary, summarise
from trustmia.errors import UserError
from trustmia.ranking import bootstrap, ranking_metrics
from trustmia.signal_files import SignalSet, read_signals

SHOWN = {
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "tpr_at_1pct_fpr": "TPR at 1% FPR",
    "tpr_at_0.1pct_fpr": "TPR at 0.1% FPR",
}


def audit_signals(
    path: Path,
    target: int,
    families: Sequence[str],
    out: Path,
    settings: ReferenceSettings,
    resamples: int,
    seed: int,
) -> str:
    """Run attacks against one of the models, with the others as reference models.

    Args:
        path: Signals, in a form of `read_signals`.
        target: Index of the target model.
        families: Names of `FAMILIES`.
        out: Folder for `metrics.json` and `scores.parquet`.
        settings: Settings of the attacks.
        resamples: Resamples of the bootstrap; 0 for no intervals.
        seed: Seed of the bootstrap.

    Returns:
        A table for people, and where the files are.

    Raises:
        UserError: An option or the input is wrong; nothing was written.
    """
    _check_options(families, out, settings, resamples, seed)
    signals = read_signals(path)
    scores, skipped = attack_scores(signals, target, families, settings)
    member = signals.member[target]
    found = {
        name: ranking_metrics(values, member) | {"ci95": bootstrap(values, member, resamples, seed)}
        for name, values in scores.items()
    }
    metrics = {
        "target_index": target,
        "num_models": len(signals.member),
        "num_members": int(member.sum()),
        "num_nonmembers": int((~member).sum()),
        "attacks": found,
    }
    try:
        with files.all_or_nothing(out) as fresh:
            files.write_json(fresh / "metrics.json", metrics)
            as_rows(scores, member).to_parquet(fresh / "scores.parquet", index=False)
    except OSError as error:
        raise UserError(f"--out: cannot write to {out}: {error.strerror}") from error
    note = f"\nLeft out: {', '.join(skipped)}." if skipped else ""
    return f"{as_table(found)}{note}\n\nWritten to {out}: metrics.json, scores.parquet"


def _check_options(
    families: Sequence[str], out: Path, settings: ReferenceSettings, resamples: int, seed: int
) -> None:
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        allowed = ", ".join(FAMILIES)
        raise UserError(f"--attacks: {unknown[0]!r} is unknown with --signals; allowed: {allowed}")
    if not families or len(set(families)) != len(families):
        raise UserError("--attacks: name at least one attack, and none twice")
    if not 0 <= settings.rmia_a <= 1:
        raise UserError(f"--rmia-a: got {settings.rmia_a}; allowed: 0 to 1")
    if not 0 < settings.rmia_gamma < np.inf:
        raise UserError(f"--rmia-gamma: got {settings.rmia_gamma}; allowed: above 0")
    if not 0 <= resamples <= 10**6:
        raise UserError(f"--resamples: got {resamples}; allowed: 0 to 1000000")
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed: got {seed}; allowed: 0 to 2**63 - 1")
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"--out: {place} is a file; allowed: a folder, or a new name")


def attack_scores(
    signals: SignalSet, target: int, families: Sequence[str], settings: ReferenceSettings
) -> tuple[dict[str, Float64], list[str]]:
    """Return the scores of all forms of the attacks that the signals allow.

    Returns:
        Form → float64 [N], and why forms were left out, one phrase each.

    Raises:
        UserError: The target is not among the models, is alone, or was trained on all or
            none of the images; or the signals allow none of the attacks.
    """
    models = len(signals.member)
    if not 0 <= target < models:
        raise UserError(f"--target-index: got {target}; allowed: 0 to {models - 1}")
    if models < 2:
        raise UserError("one model is no audit: reference models are needed beside the target")
    if len(np.unique(signals.member[target])) < 2:
        raise UserError(f"model {target} was trained on all images or on none: nothing to rank")
    references = np.delete(np.arange(models), target)
    summary = summarise(signals.audited, signals.member, target, references)
    population = None
    if signals.population is not None:
        shown = signals.population
        nobody = np.zeros((models, len(shown)), dtype=np.bool_)
        population = summarise(shown, nobody, target, references)
    scores: dict[str, Float64] = {}
    skipped = []
    for name in (form for family in families for form in FAMILIES[family]):
        reason = _impossible(name, summary, population)
        if reason:
            skipped.append(f"{name} ({reason})")
        else:
            scores[name] = REFERENCE_ATTACKS[name].score(summary, population, settings)
    if not scores:
        raise UserError(f"--attacks: none is possible: {', '.join(skipped)}")
    return scores, skipped


def _impossible(name: str, summary: Summary, population: Summary | None) -> str | None:
    """Say what an attack lacks."""
    attack = REFERENCE_ATTACKS[name]
    if attack.needs_population and population is None:
        return "no population images"
    if attack.needs_inside and not summary.inside.count.all():
        return "some images are members of no reference model"
    return None


def as_rows(scores: dict[str, Float64], member: Bool) -> pd.DataFrame:
    """Return one row per image and attack: `image`, `attack`, `score`, `member`."""
    parts = [
        pd.DataFrame(
            {"image": np.arange(len(member)), "attack": name, "score": values, "member": member}
        )
        for name, values in scores.items()
    ]
    return pd.concat(parts, ignore_index=True).astype({"attack": "category"})


def as_table(found: dict[str, dict[str, Any]]) -> str:
    """Return the metrics with their intervals for people."""
    rows = [
        [name, *(_cell(metrics[key], metrics["ci95"][key]) for key in SHOWN)]
        for name, metrics in found.items()
    ]
    table = tabulate(rows, ["attack", *SHOWN.values()], disable_numparse=True)
    return f"{table}\n\nIn brackets: 95% bootstrap interval over images."


def _cell(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
