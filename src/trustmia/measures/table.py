"""Stand-in until the long table is there."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import numpy as np

from trustmia.attacks.outcome import AttackRun
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.measures.decisions import Judged, full_roc, membership_intervals, membership_metrics
from trustmia.measures.ranking import judge
from trustmia.measures.ranking_results import as_entry


def measure(
    run: AttackRun, resamples: int, seed: int, against: Collection[str] = (HELD_OUT,)
) -> Any:
    """Measure a run."""
    r = SimpleNamespace(
        parameters={}, sets={}, sizes={}, intervals={}, ties={}, notes=[], rocs={}, entries={}
    )
    r.by_set = {}
    for name, form in run.forms.items():
        ranked = form.ranked()
        members = ranked.pop(MEMBERS)
        r.parameters.update(form.learned)
        for one in against if form.decisions is not None else (HELD_OUT,):
            if one not in ranked:
                continue
            truth = np.arange(len(members) + len(ranked[one])) < len(members)
            plain = against == (HELD_OUT,)
            others = {k: v for k, v in ranked.items() if k != one} if plain else {}
            values = np.concatenate([members, ranked[one]])
            if form.decisions is None:
                values, truth = _in_rows(form)
            found = judge(values, truth, others, resamples if plain else 0, seed)
            if plain:
                r.entries[name] = as_entry(form.title, found)
                if form.decisions is None:
                    gone = np.isnan(form.ranking)
                    rows = np.concatenate([form.groups[MEMBERS], form.groups[HELD_OUT]])
                    r.entries[name]["num_unscored"] = int(gone[rows].sum())
            elif form.exact:
                both = {**found.metrics, "realised_fpr": found.realised}
                r.by_set.setdefault(one, {})[name] = both
        if form.decisions is None:
            continue
        judged = Judged(form.decisions.scores, form.decisions.called, form.decisions.max_scores)
        r.sizes["members"] = len(members)
        own = judged.take(form.groups[MEMBERS])
        r.rocs[name] = True
        for one, rows in form.groups.items():
            if one == MEMBERS:
                continue
            other = judged.take(rows)
            r.sizes[one] = len(rows)
            metrics = membership_metrics(own, other, full_roc(own, other))
            r.sets.setdefault(one, {})[name] = metrics
            top = form.ranking[rows] == form.ranking[rows].max()
            r.ties.setdefault(one, {})[name] = int(top.sum())
            if resamples:
                ci = membership_intervals(own, other, one, resamples, seed)
                r.intervals.setdefault(one, {})[name] = ci
    return r


def _in_rows(form: Any) -> tuple[Any, Any]:
    rows = np.sort(np.concatenate([form.groups[MEMBERS], form.groups[HELD_OUT]]))
    truth = np.isin(rows, form.groups[MEMBERS])
    kept = ~np.isnan(form.ranking[rows])
    return form.ranking[rows][kept], truth[kept]
