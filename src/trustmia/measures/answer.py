"""The answer in three sentences, chosen by the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trustmia.attacks import form_title, forms_in_order
from trustmia.image_sets import FAKE, HELD_OUT, in_order
from trustmia.image_sets import title as set_title
from trustmia.measures.metrics import NO_DECISIONS, STRICT

# An attack is fooled by a set if it calls at least this share of it members.
FOOLED = 0.5
# Below this, recall minus FPR on held-out images hardly tells the two apart.
TELLS_APART = 0.25


@dataclass(frozen=True)
class Answer:
    """What a reader is to take home.

    Attributes:
        verdict: A few words.
        sentences: What the verdict rests on: two or three sentences.
    """

    verdict: str
    sentences: list[str]


@dataclass(frozen=True)
class Rates:
    """What the answer rests on.

    Attributes:
        table: `variant`, `attack`, `set`, `metric`, `value`, `low`, `high`.
        lead: The variant that the answer is about.
        compared: Variants that are set against each other → their titles.
        seeds: How many seeds a value is the mean of.
        silent: Attacks that call no fake a member with some seed, and that seed: a mean would
            hide them.
    """

    table: pd.DataFrame
    lead: str
    compared: Mapping[str, str]
    seeds: int = 1
    silent: Sequence[tuple[str, int]] = ()

    @property
    def sets(self) -> list[str]:
        """Sets of non-members, those with a colour of their own first."""
        return in_order(self.table["set"])

    def of(self, variant: str, metric: str, image_set: str) -> pd.DataFrame:
        """Return `value`, `low` and `high` by attack, in the order of the registry."""
        keys = {"variant": variant, "metric": metric, "set": image_set}
        chosen = (self.table[list(keys)] == list(keys.values())).all(axis=1)
        rows = self.table[chosen].set_index("attack")
        return rows.loc[forms_in_order(rows.index), ["value", "low", "high"]]


def answer(rates: Rates) -> Answer:
    """Answer whether the word of the attacks can be trusted, for the lead variant."""
    probe = _probe(rates)
    fooled = rates.of(rates.lead, "fpr", probe)
    if fooled.empty:
        return Answer("No answer.", [NO_DECISIONS])
    recall = rates.of(rates.lead, "recall", rates.sets[0])
    held_out = rates.of(rates.lead, "fpr", HELD_OUT)
    advantage = rates.of(rates.lead, "advantage", HELD_OUT)
    sentences = [_of_probe(rates, probe, fooled), _of_members(recall, held_out, advantage)]
    sentences.append(_of_variants(rates, probe) or _of_ranking(rates))
    return Answer(_verdict(fooled, recall, held_out), [text for text in sentences if text])


def _probe(rates: Rates) -> str:
    """Return the set of which nobody would expect members: the fakes, or the most fooling."""
    if FAKE in rates.sets:
        return FAKE
    others = [name for name in rates.sets if name != HELD_OUT] or rates.sets
    means = {name: rates.of(rates.lead, "fpr", name)["value"].mean() for name in others}
    return max(means, key=lambda name: (means[name] == means[name], means[name]))


def _verdict(fooled: pd.DataFrame, recall: pd.DataFrame, held_out: pd.DataFrame) -> str:
    """Return the verdict: an attack can be trusted that is not fooled and tells members apart."""
    honest = fooled["value"] < FOOLED
    if not honest.any():
        return "No."
    gaps = (recall["value"] - held_out["value"]).reindex(fooled.index[honest])
    if gaps.max() < TELLS_APART:
        return "Hardly."
    return "Within limits." if honest.all() else "Only some attacks."


def _of_probe(rates: Rates, probe: str, fooled: pd.DataFrame) -> str:
    kinds = {
        FAKE: "Of images that a generator drew and no model was trained on",
        HELD_OUT: "Of held-out images",
    }
    subject = kinds.get(probe, f"Of the images of {set_title(probe)}, none of which is a member")
    count = int((fooled["value"] >= FOOLED).sum())
    how_many = {0: "no attack calls half or more", len(fooled): "every attack calls at least half"}
    call = "calls" if count == 1 else "call"
    extent = how_many.get(count, f"{count} of {len(fooled)} attacks {call} at least half")
    each = ", ".join(f"{form_title(name)} {_share(row)}" for name, row in fooled.iterrows())
    mean = f", on average over {rates.seeds} seeds" if rates.seeds > 1 else ""
    return f"{subject}, {extent} of them members{mean}: {each}.{_of_silent(rates, probe)}"


def _of_silent(rates: Rates, probe: str) -> str:
    if rates.seeds < 2 or probe != FAKE or not rates.silent:
        return ""
    each = [f"{form_title(attack)} with seed {seed}" for attack, seed in rates.silent]
    return f" None of them is called a member by {', '.join(each)}."


def _of_members(recall: pd.DataFrame, held_out: pd.DataFrame, advantage: pd.DataFrame) -> str:
    if held_out.empty:
        return f"Of the true members they find {_range(recall['value'])}."
    called = f"{_range(held_out['value'])} of held-out images members too"
    if not held_out["value"].any():
        called = "no held-out image a member"
    each = ", ".join(f"{form_title(name)} {_points(row)}" for name, row in advantage.iterrows())
    apart = "; the difference in percentage points, at the thresholds that these attacks learned: "
    both = f"They find {_range(recall['value'])} of the true members, and call {called}"
    return f"{both}{apart + each if each else ''}."


def _of_variants(rates: Rates, probe: str) -> str:
    """Compare the variants by the median of the attacks; empty if there is but one."""
    titles = rates.compared
    every = {name: rates.of(name, "fpr", probe)["value"].median() for name in titles}
    medians = {name: median for name, median in every.items() if not np.isnan(median)}
    if len(medians) < 2:
        return ""
    low, high = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    what = "fakes" if probe == FAKE else f"{set_title(probe)} images"
    text = (
        f"Among {len(medians)} ways to train or calibrate the model, the share of {what} called "
        f"members, in the median of the attacks, goes from {_percent(medians[low])} "
        f"({titles[low]}) to {_percent(medians[high])} ({titles[high]})"
    )
    freed = [titles[name] for name in medians if medians[name] < FOOLED]
    if not freed:
        return f"{text}; none of them brings it below {FOOLED:.0%}."
    return f"{text}; below {FOOLED:.0%} with {', '.join(freed)}."


def _of_ranking(rates: Rates) -> str:
    reached = rates.of(rates.lead, STRICT, HELD_OUT).dropna(subset="value")
    if reached.empty:
        return ""
    best = str(reached["value"].idxmax())
    return (
        f"Held to calling 1% of held-out images members, the strongest of {len(reached)} forms of "
        f"attack, {form_title(best)}, finds {_share(reached.loc[best], digits=1)} of the members."
    )


def _percent(value: float, digits: int = 0) -> str:
    """Return a percentage, with so many digits that it is below `FOOLED` where the value is."""
    while (round(value, digits + 2) < FOOLED) != (value < FOOLED):
        digits += 1
    return f"{value:.{digits}%}"


def _share(row: pd.Series, digits: int = 0) -> str:
    share = _percent(row["value"], digits)
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
    if high == "0%" and values.any():
        return "under 1%"
    return high if f"{low}%" == high else f"{low}–{high}"
