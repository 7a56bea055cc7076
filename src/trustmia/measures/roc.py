"""Stand-in until ROC curves have their module."""

from typing import Any

from trustmia.attacks.outcome import AttackRun
from trustmia.image_sets import MEMBERS
from trustmia.measures.decisions import Roc, roc_of_scores, thin_roc
from trustmia.measures.results import draw_rocs, roc_table

__all__ = ["draw_rocs", "roc_curves", "roc_table"]


def roc_curves(run: AttackRun) -> dict[str, dict[str, Roc]]:
    curves: dict[str, Any] = {}
    for name, form in run.forms.items():
        ranked = form.ranked()
        if not form.exact and form.decisions is not None:
            ranked = {k: form.decisions.scores[v] for k, v in form.groups.items()}
        members = ranked.pop(MEMBERS)
        curves[name] = {k: thin_roc(roc_of_scores(members, v)) for k, v in ranked.items()}
    return curves
