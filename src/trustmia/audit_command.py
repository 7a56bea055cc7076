"""`trustmia audit`: the attacks on score files that somebody brings."""

from collections.abc import Sequence
from pathlib import Path

from trustmia.attacks import ATTACKS, AttackSettings
from trustmia.audit import run_audit
from trustmia.errors import UserError
from trustmia.results import as_metrics, as_table, write_audit
from trustmia.score_files import read_scores

# Of more images than this, resampling takes minutes, and intervals are narrower than the
# differences between attacks that anybody would act on.
MOST_ROWS = 100_000


def audit(
    shadow: Path,
    target: Path,
    out: Path,
    methods: Sequence[str],
    salem_k: int,
    seed: int,
    resamples: int,
) -> str:
    """Run attacks on two score files and write the results.

    Args:
        shadow: Score file of a model whose membership is known.
        target: Score file of the model under audit.
        out: Folder for `metrics.json`, `attack_results.csv` and the ROC curves.
        methods: Names of attacks.
        salem_k: Largest scores that the Salem attack sees.
        seed: Seed of the Salem attack and of the bootstrap, 0 to 2**63 − 1.
        resamples: Resamples for the intervals; 0 for none. There are none either where the
            target was shown more than `MOST_ROWS` images.

    Returns:
        The result table and where the files are.

    Raises:
        UserError: An option or a file is wrong; nothing was written.
    """
    _check_options(out, methods, salem_k, seed, resamples)
    settings = AttackSettings(seed=seed, salem_k=salem_k)
    shadow_scores = read_scores(shadow, needs_sets=False)
    target_scores = read_scores(target, needs_sets=True)
    classes = shadow_scores.scores.shape[1], target_scores.scores.shape[1]
    if classes[0] != classes[1]:
        raise UserError(f"{target}: has {classes[1]} classes, but {shadow} has {classes[0]}")
    few = len(target_scores.member) <= MOST_ROWS
    result = run_audit(shadow_scores, target_scores, methods, settings, resamples if few else 0)
    try:
        write_audit(out, result)
    except OSError as error:
        raise UserError(f"--out: cannot write to {out}: {error.strerror}") from error
    names = "attack_results.csv, metrics.json, roc_*.csv, roc_*.png"
    parts = [as_table(as_metrics(result), "simple"), f"Written to {out}: {names}"]
    if resamples and not few:
        parts.insert(1, f"No intervals: the target has more than {MOST_ROWS:,} images.")
    return "\n\n".join(parts)


def _check_options(
    out: Path, methods: Sequence[str], salem_k: int, seed: int, resamples: int
) -> None:
    for name in methods:
        if name not in ATTACKS:
            raise UserError(f"--attacks: {name!r} is unknown; allowed: {', '.join(ATTACKS)}")
    if not methods or len(set(methods)) != len(methods):
        raise UserError("--attacks: name at least one attack, and none twice")
    if salem_k < 1:
        raise UserError(f"--salem-k: got {salem_k}; allowed: at least 1")
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed: got {seed}; allowed: 0 to 2**63 - 1")
    if not 0 <= resamples <= 10**6:
        raise UserError(f"--resamples: got {resamples}; allowed: 0 to 1000000")
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"--out: {place} is a file; allowed: a folder, or a new name")
