"""`trustmia audit --signals`: attacks with reference models on what anybody's models say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from trustmia import files
from trustmia.attacks.reference import FAMILIES, ReferenceSettings
from trustmia.attacks.run_on_signals import ReferenceScores, run_reference_attacks
from trustmia.commands.audit_options import check_common
from trustmia.errors import UserError
from trustmia.measures.ranking_results import ranking_table, rates_table, reference_entries
from trustmia.signals.many_models import SignalSet, read_signals


def audit_signals(
    path: Path,
    target: int,
    families: Sequence[str],
    out: Path,
    settings: ReferenceSettings,
    resamples: int,
    seed: int,
    tune_a: bool = False,
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
        tune_a: Choose RMIA's a on reference models.

    Returns:
        A table for people, and where the files are.

    Raises:
        UserError: An option or the input is wrong; nothing was written.
    """
    check_common(families, FAMILIES, out, resamples, seed, form=" with --signals")
    if not 0 <= settings.rmia_a <= 1:
        raise UserError(f"--rmia-a: got {settings.rmia_a}; allowed: 0 to 1")
    if not 0 < settings.rmia_gamma < np.inf:
        raise UserError(f"--rmia-gamma: got {settings.rmia_gamma}; allowed: above 0")
    signals = read_signals(path)
    if len(signals.member) < 2:
        raise UserError("one model is no audit: reference models are needed beside the target")
    said = run_reference_attacks(signals, target, families, settings, tune_a)
    attacks = reference_entries(said, resamples, seed)
    metrics = {
        "signals": signals.source,
        "target": signals.models[target],
        "target_index": target,
        "num_models": len(signals.member),
        "num_members": int(said.member.sum()),
        "num_nonmembers": int((~said.member).sum()),
        "num_without_spread": said.without_spread,
        "num_rounded": signals.rounding.ends if signals.rounding else 0,
        "models_left_out": said.left_out,
        "models_per_side": said.per_side and dict(zip(("in", "out"), said.per_side)),
        "rmia_a": said.settings.rmia_a,
        "attacks": attacks,
    }
    try:
        with files.all_or_nothing(out) as fresh:
            files.write_json(fresh / "metrics.json", metrics)
            as_rows(signals, said).to_parquet(fresh / "scores.parquet", index=False)
    except OSError as error:
        raise UserError(f"--out: cannot write to {out}: {error.strerror}") from error
    notes = _notes(signals, said)
    if tune_a:
        notes.append(f"RMIA's a, tuned on a reference model: {said.settings.rmia_a}.")
    audited = (
        f"Audited: {signals.models[target]}, model {target} of 0 to {len(signals.models) - 1} in "
        f"{signals.source}"
    )
    tables = [f"{audited}\n{ranking_table(attacks, 'simple')}"]
    if signals.sets:
        tables.append(rates_table(attacks, "simple"))
    written = f"Written to {out}: metrics.json, scores.parquet"
    return "\n\n".join([*tables, *notes, written])


def _notes(signals: SignalSet, said: ReferenceScores) -> list[str]:
    """Return what people should know of an audit, a sentence or two each."""
    notes = [f"Left out: {', '.join(said.skipped)}."] if said.skipped else []
    if signals.unread:
        notes.append(f"Not read: {', '.join(signals.unread)}.")
    if said.left_out:
        notes.append(
            f"No reference models: {', '.join(map(str, said.left_out))}. Trained on the target's "
            "images, or on all others, but for some, they would tell its members by that alone."
        )
    if said.outstanding:
        models = ", ".join(f"{model} (r = {r:.2f})" for model, r in said.outstanding.items())
        notes.append(
            f"Trained on the target's images more, or less, often than the other reference "
            f"models: {models}. They may tell its members by that; audit without them, too."
        )
    if said.per_side is not None:
        inside, outside = (f"{models:.3g}" for models in said.per_side)
        notes.append(
            "How many models were trained on an image may tell whether the target was: for each "
            f"image {inside} of those and {outside} of the others are used, on average, as many "
            "for members as for held-out images."
        )
    lacking = _without_score(said)
    if lacking:
        notes.append(
            f"Without a score, as they lack reference models, of {len(said.member)} audited images "
            f"and those of further sets: {', '.join(lacking)}."
        )
    if said.without_spread:
        notes.append(
            f"No spread in {said.without_spread} of {len(said.member)} images: all reference "
            "models that were trained on it, or all that were not, say the same. LiRA takes the "
            "spread of all images there."
        )
    if signals.rounding and signals.rounding.ends:
        notes.append(signals.rounding.note(len(signals.images)))
    return notes


def _without_score(said: ReferenceScores) -> list[str]:
    """Return how many images of each form, and of which set, have no score, where any has none."""
    found = []
    for name, form in said.forms.items():
        for place, scores in (("", form.audited), *form.sets.items()):
            count = int(np.isnan(scores).sum())
            if count:
                found.append(" ".join(filter(None, (name, place, str(count)))))
    return found


def as_rows(signals: SignalSet, said: ReferenceScores) -> pd.DataFrame:
    """Return one row per image and attack that scores it: `image`, `attack`, `score`, `member`."""
    rows = {name: np.arange(place.start, place.stop) for name, place in signals.sets.items()}
    audited = np.arange(signals.audited.start, signals.audited.stop)
    parts = []
    for name, scores in said.forms.items():
        image = np.concatenate([audited, *(rows[k] for k in scores.sets)])
        member = np.zeros(len(image), dtype=np.bool_)
        member[: len(audited)] = said.member
        values = np.concatenate([scores.audited, *scores.sets.values()])
        columns = {"image": image, "attack": name, "score": values, "member": member}
        parts.append(pd.DataFrame(columns))
    scored = pd.concat(parts, ignore_index=True).dropna(subset="score", ignore_index=True)
    return scored.astype({"attack": "category"})
