"""How attacks rank, as JSON and as tables for people: every number with its interval."""

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from trustmia.measures.ranking import OPERATING_POINTS, Interval, Judgement

SHOWN = {
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "tpr_at_1pct_fpr": "TPR at 1% FPR",
    "tpr_at_0.1pct_fpr": "TPR at 0.1% FPR",
}
NOTE = (
    "In brackets: 95% bootstrap interval over images, with the models as they are; it does not "
    "cover what another seed changes."
)
REALISED = (
    'Fractions. After "at": the FPR that was realised, the largest up to the one in the title; '
    "–: no threshold has one."
)
Entries = Mapping[str, Mapping[str, Any]]


def as_entry(title: str, judgement: Judgement) -> dict[str, Any]:
    """Return an attack's entry in a JSON file, all numbers fractions.

    It holds the metrics, their `ci95`, the `realised_fpr` of each `tpr_at_…`, and `fpr_at_…`
    by set; null is what cannot be had (see `Judgement`).
    """
    rates = {
        point: {
            name: {"fpr": rate, "ci95": judgement.rate_intervals[point][name]}
            for name, rate in by_set.items()
        }
        for point, by_set in judgement.rates.items()
    }
    return {
        "title": title,
        **judgement.metrics,
        "ci95": judgement.intervals,
        "realised_fpr": judgement.realised,
        **rates,
    }


def ranking_table(attacks: Entries, style: str) -> str:
    """Return how well each attack ranks members before held-out images.

    Args:
        attacks: Attack → what `as_entry` returned.
        style: A format of the package `tabulate`.
    """
    rows = [[name, *(_ranked(entry, key) for key in SHOWN)] for name, entry in attacks.items()]
    table = tabulate(rows, ["attack", *SHOWN.values()], tablefmt=style, disable_numparse=True)
    return f"{table}\n\n{REALISED}{_note(attacks)}"


def _ranked(entry: Mapping[str, Any], key: str) -> str:
    shown = with_interval(entry[key], entry["ci95"][key])
    realised = entry["realised_fpr"].get(key)
    return shown if realised is None else f"{shown} at {realised:.4f}"


def rates_table(attacks: Entries, style: str, point: str = "fpr_at_5pct") -> str:
    """Return what share of each further set each attack calls members.

    Args:
        attacks: Attack → what `as_entry` returned; those without further sets are left out.
        style: A format of the package `tabulate`.
        point: Key of the operating point.
    """
    shown = {name: entry for name, entry in attacks.items() if len(entry[point]) > 1}
    sets = list(dict.fromkeys(s for entry in shown.values() for s in entry[point]))
    limit = OPERATING_POINTS[point]
    recall = f"tpr_at_{point.removeprefix('fpr_at_')}_fpr"
    rows = []
    for name, entry in shown.items():
        none = {"fpr": None, "ci95": None}
        found = [entry[point].get(s, none) for s in sets]
        called = [with_interval(rate["fpr"], rate["ci95"]) for rate in found]
        rows.append([name, with_interval(entry[recall], entry["ci95"][recall]), *called])
    table = tabulate(rows, ["attack", "members", *sets], tablefmt=style, disable_numparse=True)
    return (
        f"Share called members, as a fraction, at the threshold that gives at most {limit:.0%} FPR "
        f"on held-out images (–: none does, as more of them share the largest attack score, or "
        f"they are too few):\n\n"
        f"{table}{_note(shown)}"
    )


def _note(attacks: Entries) -> str:
    resampled = any(any(entry["ci95"].values()) for entry in attacks.values())
    return f"\n\n{NOTE}" if resampled else ""


def with_interval(value: float | None, interval: Interval | None) -> str:
    """Return a number to three digits, with its interval in brackets if it has one."""
    if value is None:
        return "–"
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
