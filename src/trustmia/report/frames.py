"""The summary as tables that figures are drawn of: titles for names, positions for sets."""

import pandas as pd

from trustmia.attacks import form_title
from trustmia.image_sets import MEMBERS, colours, in_order
from trustmia.image_sets import title as set_title
from trustmia.measures.metrics import TRANSFER
from trustmia.report.summary import Summary, variant_title

Frames = dict[str, pd.DataFrame]

# How much of its row the peak of a density fills.
PEAK = 0.9


def frames(summary: Summary) -> Frames:
    """Return one table for each kind of figure; text columns are titles for people."""
    tables = {
        "shares": shares(summary),
        "transfer": _rates(summary, TRANSFER),
        "roc": summary.roc,
        "density": _ridges(summary),
        "distances": summary.distances,
        "reliability": summary.reliability,
        "trade_off": summary.trade_off,
        "embedding": summary.embedding,
    }
    return {name: titled(table) for name, table in tables.items()}


def palette(sets: list[str]) -> dict[str, str]:
    """Return the colour of each image set's title."""
    return {set_title(name): colour for name, colour in colours(sets).items()}


def only(colours: dict[str, str], table: pd.DataFrame) -> dict[str, str]:
    """Return the colours of the sets that a table has."""
    return {name: colour for name, colour in colours.items() if name in set(table["set"])}


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with titles in place of names."""
    titles = {"variant": variant_title, "attack": form_title}
    titles |= dict.fromkeys(("set", "set_a", "set_b"), set_title)
    changed = {name: table[name].map(title) for name, title in titles.items() if name in table}
    return table.assign(**changed)


def shares(summary: Summary) -> pd.DataFrame:
    """Return which share of each set, members included, each attack calls members.

    Returns:
        `variant`, `attack`, `set`, `value`, `low`, `high`.
    """
    first = summary.sets[0] if summary.sets else ""
    recall, called = _rates(summary, "recall"), _rates(summary, "fpr")
    members = recall[recall["set"] == first].assign(set=MEMBERS)
    return pd.concat([members, called], ignore_index=True)


def _rates(summary: Summary, metric: str) -> pd.DataFrame:
    return summary.rates[summary.rates["metric"] == metric].drop(columns="metric")


def _ridges(summary: Summary) -> pd.DataFrame:
    """One row of the plot for each set, members on top; a density fills its row's height."""
    table = summary.density
    sets = in_order(table["set"])
    base = table["set"].map({name: len(sets) - 1 - i for i, name in enumerate(sets)})
    peak = table.groupby(["variant", "set"])["density"].transform("max")
    ridges = table.assign(base=base, top=base + PEAK * table["density"] / peak)
    distances = summary.distances
    to_members = distances[(distances["set_a"] == MEMBERS) & (distances["set_b"] != MEMBERS)]
    to_members = to_members.rename(columns={"set_b": "set"}).drop(columns="set_a")
    ridges = ridges.merge(to_members, on=["variant", "set"], how="left")
    notes = ridges["distance"].map("{:.3f}".format, na_action="ignore")
    notes = notes.mask(ridges["set"] == MEMBERS, "distance to members:")
    # A row's first point carries the row's note.
    first = ~ridges.duplicated(["variant", "set"])
    return ridges.assign(note=notes.where(first, None)).drop(columns="distance")
