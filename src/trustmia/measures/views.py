"""Stand-in until the views of the long table are there."""

from typing import Any

from trustmia.measures import results as old
from trustmia.measures.ranking_results import ranking_table as _ranking
from trustmia.measures.ranking_results import rates_table as _rates


def paper_table(results: Any) -> Any:
    return old.as_csv(results.sets)


def dvc_summary(results: Any) -> Any:
    return old.as_summary(results, results.entries)


def nested(results: Any) -> Any:
    found = old.as_metrics(results)
    del found["notes"]
    return found


def ranking_entries(results: Any) -> Any:
    return results.entries


def rankings(results: Any) -> Any:
    return results.by_set


def decision_tables(results: Any, style: str) -> str:
    return old.as_table(old.as_metrics(results), style)


def ranking_table(results: Any, style: str) -> str:
    return _ranking(results.entries, style)


def rates_table(results: Any, style: str) -> str:
    return _rates(results.entries, style)
