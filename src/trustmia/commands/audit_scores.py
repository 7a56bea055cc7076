"""`trustmia audit`: the attacks on score files that somebody brings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trustmia.attacks import ATTACKS, AttackSettings
from trustmia.attacks.run_on_scores import AuditResult, run_audit
from trustmia.attacks.salem import check_k
from trustmia.commands.audit_options import check_common
from trustmia.errors import UserError
from trustmia.measures.ranking import judge
from trustmia.measures.results import as_metrics, as_table, write_audit
from trustmia.signals.scores import ScoreSet, read_scores

# Of more images than this, resampling takes minutes, and intervals are narrower than the
# differences between attacks that anybody would act on.
MOST_ROWS = 100_000


def audit(
    shadow: Path,
    target: Path,
    out: Path,
    methods: Sequence[str],
    salem_k: int | None,
    seed: int,
    resamples: int,
) -> str:
    """Run attacks on two score files and write the results.

    Args:
        shadow: Score file of a model whose membership is known.
        target: Score file of the model under audit.
        out: Folder for `metrics.json`, `attack_results.csv` and the ROC curves.
        methods: Names of attacks.
        salem_k: Largest scores that the Salem attack sees; None for 3, or all that there are.
        seed: Seed of the Salem attack and of the bootstrap, 0 to 2**63 − 1.
        resamples: Resamples for the intervals; 0 for none. There are none either where the
            target was shown more than `MOST_ROWS` images.

    Returns:
        The result table, how the files were read, and where the results are.

    Raises:
        UserError: An option or a file is wrong; nothing was written.
    """
    check_common(methods, ATTACKS, out, resamples, seed, form="")
    shadow_scores = read_scores(shadow, needs_sets=False)
    target_scores = read_scores(target, needs_sets=True)
    classes = shadow_scores.scores.shape[1], target_scores.scores.shape[1]
    if classes[0] != classes[1]:
        raise UserError(f"{target}: has {classes[1]} classes, but {shadow} has {classes[0]}")
    k = min(AttackSettings.salem_k, classes[0]) if salem_k is None else salem_k
    if "salem" in methods:
        check_k(k, classes[0], "--salem-k")
    settings = AttackSettings(seed=seed, salem_k=k)
    few = len(target_scores.member) <= MOST_ROWS
    result = run_audit(shadow_scores, target_scores, methods, settings, resamples if few else 0)
    read: dict[str, Any] = {"shadow": str(shadow), "target": str(target)}
    ranking = exact_ranking(result, target_scores, seed)
    basis = "logits" if target_scores.logits is not None else "scores in float64" if ranking else ""
    try:
        write_audit(out, result, read | ({"ranking": ranking} if ranking else {}))
    except OSError as error:
        raise UserError(f"--out: cannot write to {out}: {error.strerror}") from error
    notes = [*shadow_scores.notes, *target_scores.notes, *result.notes]
    if ranking:
        notes.append(f"{target}: ranked by {basis} (metrics.json: ranking, and the ROC curves).")
    notes += note_of_ties(result, target, basis)
    if shadow_scores.all_alike():
        notes.append(f"{shadow}: all rows have the same scores; attacks can learn nothing of them.")
    if resamples and not few:
        notes.append(f"No intervals: the target has more than {MOST_ROWS:,} images.")
    if "salem" in methods and salem_k is None and k < AttackSettings.salem_k:
        notes.append(f"Salem attack: the {k} largest scores (--salem-k), as there are {k} classes.")
    notes.append(f"Read: shadow {shadow}, target {target}")
    notes.append(f"Written to {out}: attack_results.csv, metrics.json, roc_*.csv, roc_*.png")
    return "\n\n".join([as_table(as_metrics(result), "simple"), *notes])


def exact_ranking(result: AuditResult, target: ScoreSet, seed: int) -> dict[str, dict[str, Any]]:
    """Return non-member set → attack → metrics of `judge` by `ScoreSet.finer`; {} without.

    The `realised_fpr` of each `tpr_at_…` is beside them.
    """
    if target.finer is None:
        return {}
    members = np.flatnonzero(target.member)
    found: dict[str, dict[str, Any]] = {}
    for name, rows in target.nonmember_sets().items():
        audited = np.concatenate([members, rows])
        truth = np.arange(len(audited)) < len(members)
        found[name] = {}
        for attack, scores in result.ranking_scores.items():
            judged = judge(scores[audited], truth, {}, 0, seed)
            found[name][attack] = {**judged.metrics, "realised_fpr": judged.realised}
    return found


def note_of_ties(result: AuditResult, target: Path, basis: str) -> list[str]:
    """Say how many images of a set share its largest attack score, if more than one does.

    Args:
        result: What the attacks said.
        target: The target's file.
        basis: What has ranked the images; empty if it is attack scores in float32.
    """
    tied = []
    for name, attacks in result.ties.items():
        counts = [f"{attack} {count:,}" for attack, count in attacks.items() if count > 1]
        if counts:
            tied.append(f"{name} (of {result.sizes[name]:,}): {', '.join(counts)}")
    if not tied:
        return []
    rest = (
        f"the attack says the same of them by their {basis}"
        if basis
        else "near 1, float32, or the file itself, has equal scores; logits can tell them apart"
    )
    return [
        f"{target}: non-members that share their set's largest attack score, so that no FPR "
        f"between 0 and their share can be had: {'; '.join(tied)}; {rest}."
    ]
