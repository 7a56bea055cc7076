"""The answer in three sentences, chosen by the numbers."""

from dataclasses import dataclass

import pandas as pd

from trustmia.image_sets import FAKE, HELD_OUT
from trustmia.image_sets import title as set_title
from trustmia.report.names import attack_title, variant_title
from trustmia.report.summary import THIS_RUN, Summary

# An attack is fooled by a set if it calls at least this share of it members.
FOOLED = 0.5
# Below this, recall minus FPR on held-out images hardly tells the two apart.
TELLS_APART = 0.25
STRICT = "tpr_at_1pct_fpr"


@dataclass(frozen=True)
class Answer:
    """What a reader is to take home.

    Attributes:
        verdict: A few words.
        sentences: What the verdict rests on: two or three sentences.
    """

    verdict: str
    sentences: list[str]


def answer(summary: Summary) -> Answer:
    """Answer whether the attacks' word can be trusted, for the summary's lead variant."""
    probe = _probe(summary)
    fooled = summary.of(summary.lead, "fpr", probe)
    if fooled.empty:
        return Answer("No answer.", ["No attack of this run makes decisions of its own."])
    recall = summary.of(summary.lead, "recall", summary.sets[0])
    held_out = summary.of(summary.lead, "fpr", HELD_OUT)
    advantage = summary.of(summary.lead, "advantage", HELD_OUT)
    sentences = [_of_probe(summary, probe, fooled), _of_members(recall, held_out, advantage)]
    sentences.append(_of_variants(summary, probe) or _of_ranking(summary))
    return Answer(_verdict(fooled, recall, held_out), [text for text in sentences if text])


def _probe(summary: Summary) -> str:
    """Return the set of which nobody would expect members: the fakes, or the most fooling."""
    if FAKE in summary.sets:
        return FAKE
    others = [name for name in summary.sets if name != HELD_OUT] or summary.sets
    means = {name: summary.of(summary.lead, "fpr", name)["value"].mean() for name in others}
    return max(means, key=lambda name: (means[name] == means[name], means[name]))


def _verdict(fooled: pd.DataFrame, recall: pd.DataFrame, held_out: pd.DataFrame) -> str:
    count = int((fooled["value"] >= FOOLED).sum())
    gap = float((recall["value"] - held_out["value"]).max()) if len(held_out) else 1.0
    if count == len(fooled):
        return "No."
    if gap < TELLS_APART:
        return "Hardly."
    return "Only some attacks." if count else "Within limits."


def _of_probe(summary: Summary, probe: str, fooled: pd.DataFrame) -> str:
    kinds = {
        FAKE: "Of images that a generator drew and no model was trained on",
        HELD_OUT: "Of held-out images",
    }
    subject = kinds.get(probe, f"Of the images of {set_title(probe)}, none of which is a member")
    count = int((fooled["value"] >= FOOLED).sum())
    how_many = {0: "no attack calls half or more", len(fooled): "every attack calls at least half"}
    found = how_many.get(count, f"{count} of {len(fooled)} attacks call at least half")
    each = ", ".join(f"{attack_title(name)} {_share(row)}" for name, row in fooled.iterrows())
    mean = f", on average over {summary.seeds} seeds" if summary.seeds > 1 else ""
    apart = _of_silent_seeds(summary) if probe == FAKE else ""
    return f"{subject}, {found} of them members{mean}: {each}.{apart}"


def _of_silent_seeds(summary: Summary) -> str:
    """Name the seeds with which an attack calls no fake a member: a mean would hide them."""
    runs = summary.trade_off
    silent = runs[
        (runs["variant"] == summary.lead)
        & runs["attack"].isin(summary.learned)
        & (runs["fake_fpr"] == 0)
    ]
    if summary.seeds < 2 or silent.empty:
        return ""
    each = [f"{attack_title(a)} with seed {s}" for a, s in zip(silent["attack"], silent["seed"])]
    return f" None of them is called a member by {', '.join(each)}."


def _of_members(recall: pd.DataFrame, held_out: pd.DataFrame, advantage: pd.DataFrame) -> str:
    if held_out.empty:
        return f"Of the true members they find {_range(recall['value'])}."
    each = ", ".join(f"{attack_title(name)} {_points(row)}" for name, row in advantage.iterrows())
    apart = "; the difference in percentage points, at the thresholds that these attacks learned: "
    return (
        f"They find {_range(recall['value'])} of the true members, and call "
        f"{_range(held_out['value'])} of held-out images members too{apart + each if each else ''}."
    )


def _of_variants(summary: Summary, probe: str) -> str:
    """Compare the study's variants by the median of the attacks; empty if there is but one."""
    variants = [name for name in summary.variants if name != THIS_RUN]
    if len(variants) < 2:
        return ""
    medians = {name: summary.of(name, "fpr", probe)["value"].median() for name in variants}
    low, high = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    what = "fakes" if probe == FAKE else f"{set_title(probe)} images"
    text = (
        f"Among {len(medians)} ways to train or calibrate the model, the share of {what} called "
        f"members, in the median of the attacks, goes from {medians[low]:.0%} "
        f"({variant_title(low)}) to {medians[high]:.0%} ({variant_title(high)})"
    )
    freed = [v for v in medians if medians[v] < FOOLED]
    if not freed:
        return f"{text}; none of them brings it below {FOOLED:.0%}."
    names = ", ".join(variant_title(v) for v in freed)
    return f"{text}; below {FOOLED:.0%} with {names}."


def _of_ranking(summary: Summary) -> str:
    found = summary.of(summary.lead, STRICT, HELD_OUT).dropna(subset="value")
    if found.empty:
        return ""
    best = str(found["value"].idxmax())
    return (
        f"Held to calling 1% of held-out images members, the strongest of {len(found)} forms of "
        f"attack, {attack_title(best)}, finds {_share(found.loc[best], digits=1)} of the members."
    )


def _share(row: pd.Series, digits: int = 0) -> str:
    share = f"{row['value']:.{digits}%}"
    if row.isna().any():
        return share
    return f"{share} ({100 * row['low']:.{digits}f}–{row['high']:.{digits}%})"


def _points(row: pd.Series) -> str:
    """Return a difference of shares in percentage points, with its interval if it has one."""
    points = f"{100 * row['value']:.1f}"
    if row.isna().any():
        return points
    return f"{points} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _range(values: pd.Series) -> str:
    low, high = f"{100 * values.min():.0f}", f"{values.max():.0%}"
    return high if f"{low}%" == high else f"{low}–{high}"
