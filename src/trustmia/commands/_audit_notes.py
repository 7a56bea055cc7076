"""What people should know of an audit beside its numbers, a sentence or two each."""

from pathlib import Path

import pandas as pd

from trustmia.attacks.outcome import AttackRun
from trustmia.image_sets import AUDITED
from trustmia.measures.table import TIES, UNSCORED
from trustmia.signals.container import Signals
from trustmia.signals.many_models import ManyModels
from trustmia.signals.scores import ScoreSet


def notes_of_scores(
    signals: Signals, outcome: AttackRun, results: pd.DataFrame, read: tuple[Path, Path]
) -> list[str]:
    """Return notes on an audit of score files.

    `results` is the table that `measure` returned; `read` are the files of shadow and target.
    """
    assert signals.shadow is not None and signals.target is not None
    notes = [*signals.shadow.notes, *signals.target.notes, *outcome.notes, *outcome.left_out_note()]
    basis = _basis(signals.target)
    if basis:
        notes.append(f"{read[1]}: ranked by {basis} (metrics.json: ranking, and the ROC curves).")
    notes += _ties(results, read[1], basis)
    if signals.shadow.all_alike():
        notes.append(
            f"{read[0]}: all rows have the same scores; attacks can learn nothing of them."
        )
    return notes


def _basis(target: ScoreSet) -> str:
    """Return what has ranked the images; empty if it is attack scores in float32."""
    if target.finer is None:
        return ""
    return "scores in float64" if target.logits is None else "logits"


def _ties(results: pd.DataFrame, target: Path, basis: str) -> list[str]:
    """Say how many images of a set share its largest attack score, if more than one does."""
    sets = []
    for name, ties in results[results["metric"] == TIES].groupby("set", sort=False):
        tied = ties[ties["value"] > 1]
        counts = ", ".join(f"{r.attack} {r.value:,.0f}" for r in tied.itertuples())
        if counts:
            sets.append(f"{name} (of {ties['n'].max():,}): {counts}")
    if not sets:
        return []
    rest = (
        f"the attack says the same of them by their {basis}"
        if basis
        else "near 1, float32, or the file itself, has equal scores; logits can tell them apart"
    )
    return [
        f"{target}: non-members that share their set's largest attack score, so that no FPR "
        f"between 0 and their share can be had: {'; '.join(sets)}; {rest}."
    ]


def notes_of_signals(models: ManyModels, outcome: AttackRun, results: pd.DataFrame) -> list[str]:
    """Return notes on an audit that compares the target with other models."""
    comparison = outcome.comparison
    assert comparison is not None
    images = models.audited.stop - models.audited.start
    notes = outcome.left_out_note()
    if models.unread:
        notes.append(f"Not read: {', '.join(models.unread)}.")
    if comparison.left_out:
        notes.append(
            f"No reference models: {', '.join(map(str, comparison.left_out))}. Trained on the "
            "target's images, or on all others, but for some, they would tell its members by that "
            "alone."
        )
    related = ", ".join(f"{k} (r = {r:.2f})" for k, r in comparison.outstanding().items())
    if related:
        notes.append(
            f"Trained on the target's images more, or less, often than the other reference "
            f"models: {related}. They may tell its members by that; audit without them, too."
        )
    if comparison.per_side is not None:
        in_models, out_models = (f"{number:.3g}" for number in comparison.per_side)
        notes.append(
            "How many models were trained on an image may tell whether the target was: for each "
            f"image {in_models} of those and {out_models} of the others are used, on average, as "
            "many for members as for held-out images."
        )
    if lacking := _without_score(results):
        notes.append(
            f"Without a score, as they lack reference models, of {images} audited images "
            f"and those of further sets: {', '.join(lacking)}."
        )
    if without_spread := comparison.audited.without_spread():
        notes.append(
            f"No spread in {without_spread} of {images} images: all reference "
            "models that were trained on it, or all that were not, say the same. LiRA takes the "
            "spread of all images there."
        )
    if models.rounding and models.rounding.ends:
        notes.append(models.rounding.note(len(models.images)))
    return notes


def _without_score(results: pd.DataFrame) -> list[str]:
    """Return how many images of each form, and of which set, have no score, where any has none."""
    unscored = results[results["metric"] == UNSCORED]
    places = unscored["set"].mask(unscored["set"].isin(AUDITED), "")
    counts = unscored.groupby(["attack", places], sort=False)["value"].sum()
    return [
        " ".join(filter(None, (attack, place, f"{count:.0f}")))
        for (attack, place), count in counts.items()
        if count
    ]
