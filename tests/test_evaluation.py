"""Metrics and ROC curves against scikit-learn and brute force."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from trustmia.measures.decisions import Judged, Roc, full_roc, membership_metrics, thin_roc
from trustmia.measures.ranking import interval, judge

values = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32, allow_subnormal=False)
)
rows = st.tuples(values, st.booleans(), st.floats(0.125, 1, width=32))
groups = st.lists(rows, min_size=1, max_size=30)
Rows = list[tuple[float, bool, float]]


@dataclass
class Case:
    members: Judged
    nonmembers: Judged

    def __post_init__(self) -> None:
        self.roc = full_roc(self.members, self.nonmembers)
        self.metrics = membership_metrics(self.members, self.nonmembers, self.roc)
        self.truth = np.repeat([True, False], [len(self.members), len(self.nonmembers)])
        parts = [self.members.attack_scores, self.nonmembers.attack_scores]
        self.scores = np.concatenate(parts)


def judged(rows: Rows) -> Judged:
    scores, decisions, maxima = (np.asarray(column) for column in zip(*rows))
    return Judged(scores.astype(np.float32), decisions, maxima.astype(np.float32))


cases = st.builds(lambda m, n: Case(judged(m), judged(n)), groups, groups)


def many_points(count: int = 5000) -> Roc:
    rng = np.random.default_rng(3)
    everyone = np.ones(count, dtype=np.bool_)
    maxima = np.ones(count, dtype=np.float32)
    members, others = (
        Judged(rng.normal(mean, 1, count).astype(np.float32), everyone, maxima) for mean in (1, 0)
    )
    return full_roc(members, others)


@settings(deadline=None)
@given(cases)
def test_areas_and_curve_are_those_of_scikit_learn(case: Case) -> None:
    fpr, tpr, _ = roc_curve(case.truth, case.scores, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(case.truth, case.scores)
    assert np.array_equal(case.roc.fpr, fpr)
    assert np.array_equal(case.roc.tpr, tpr)
    assert case.metrics["auroc"] == pytest.approx(roc_auc_score(case.truth, case.scores))
    assert case.metrics["aupr"] == pytest.approx(auc(recall, precision))


@settings(deadline=None)
@given(cases)
def test_auroc_is_the_share_of_pairs_in_the_right_order(case: Case) -> None:
    difference = case.members.attack_scores[:, None] - case.nonmembers.attack_scores
    wins = (difference > 0).mean() + (difference == 0).mean() / 2
    assert case.metrics["auroc"] == pytest.approx(wins)


@settings(deadline=None)
@given(groups, groups)
def test_rates_and_mean_scores_are_those_of_a_loop(members: Rows, nonmembers: Rows) -> None:
    counts = dict.fromkeys(("tp", "fp", "fn", "tn"), 0)
    sums = dict.fromkeys(counts, 0.0)
    for is_member, group in ((True, members), (False, nonmembers)):
        for _, called, maximum in group:
            outcome = ("t" if called == is_member else "f") + ("p" if called else "n")
            counts[outcome] += 1
            sums[outcome] += maximum
    called_members = counts["tp"] + counts["fp"]
    right = counts["tp"] + counts["tn"]
    expected = {
        "precision": counts["tp"] / called_members if called_members else 0,
        "recall": counts["tp"] / len(members),
        "tpr": counts["tp"] / len(members),
        "fpr": counts["fp"] / len(nonmembers),
        "advantage": counts["tp"] / len(members) - counts["fp"] / len(nonmembers),
        "accuracy": right / (len(members) + len(nonmembers)),
    }
    for outcome, count in counts.items():
        expected[f"{outcome}_mmps"] = sums[outcome] / count if count else 0
    metrics = Case(judged(members), judged(nonmembers)).metrics
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-6)


@settings(deadline=None)
@given(cases)
def test_fpr_at_95tpr_is_the_smallest_fpr_that_reaches_it(case: Case) -> None:
    reaching = [
        (case.nonmembers.attack_scores >= threshold).mean()
        for threshold in np.unique(case.scores)
        if (case.members.attack_scores >= threshold).mean() >= 0.95
    ]
    assert case.metrics["fpr_at_95tpr"] == min(reaching)


def test_fpr_at_95tpr_counts_a_tpr_of_exactly_95_percent() -> None:
    members = judged([(0.9, True, 0.9)] * 19 + [(0.1, False, 0.9)])
    nonmembers = judged([(0.5, False, 0.9)])
    assert Case(members, nonmembers).metrics["fpr_at_95tpr"] == 0


@settings(deadline=None)
@given(cases)
def test_every_metric_is_a_fraction(case: Case) -> None:
    lowest = {"advantage": -1}
    assert all(lowest.get(name, 0) <= value <= 1 for name, value in case.metrics.items())


def test_groups_without_images_have_a_mean_score_of_zero() -> None:
    nobody_called = judged([(0.2, False, 0.7), (0.4, False, 0.5)])
    metrics = Case(nobody_called, nobody_called).metrics
    assert metrics["precision"] == metrics["tp_mmps"] == metrics["fp_mmps"] == 0
    assert metrics["fn_mmps"] == metrics["tn_mmps"] == pytest.approx(0.6)


@settings(deadline=None)
@given(cases)
def test_thinning_keeps_the_ends_and_invents_nothing(case: Case) -> None:
    thin = thin_roc(case.roc)
    full_points = list(zip(case.roc.fpr, case.roc.tpr))
    places = [full_points.index(point) for point in zip(thin.fpr, thin.tpr)]
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0, len(full_points) - 1)


def test_thinning_keeps_the_outermost_point_of_every_step() -> None:
    full = many_points()
    thin = thin_roc(full)
    kept = set(zip(thin.fpr, thin.tpr))
    assert len(thin.fpr) < 700 < len(full.fpr)
    for step in np.concatenate([np.linspace(0, 1, 200), np.geomspace(1e-7, 1, 200)]):
        place = np.flatnonzero(full.fpr <= step)[-1]
        assert (full.fpr[place], full.tpr[place]) in kept
    for step in np.linspace(0, 1, 200):
        place = np.flatnonzero(full.tpr >= step)[0]
        assert (full.fpr[place], full.tpr[place]) in kept


def test_thinning_hardly_changes_the_area() -> None:
    full = many_points()
    thin = thin_roc(full)
    assert auc(thin.fpr, thin.tpr) == pytest.approx(auc(full.fpr, full.tpr), abs=1e-3)


Floats = npt.NDArray[np.float64]


def saturated(nonmembers: int, size: int = 1000) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return scores of which 30% of the members, and some non-members, share the largest."""
    scores = np.random.default_rng(0).random(2 * size)
    scores[: 3 * size // 10] = scores[size : size + nonmembers] = 2
    return scores, np.arange(2 * size) < size


@pytest.mark.parametrize(
    ("point", "nonmembers", "has_interval"),
    [
        ("1pct", 0, True),
        ("1pct", 4, True),
        ("1pct", 9, False),
        ("5pct", 25, True),
        ("5pct", 46, False),
    ],
)
def test_resamples_in_which_no_threshold_has_the_fpr_have_no_rates(
    point: str, nonmembers: int, has_interval: bool
) -> None:
    scores, member = saturated(nonmembers)
    sets = {"fake": np.repeat([2.0, 1.0], [40, 60]), "calm": np.full(10, -1.0)}
    found = judge(scores, member, sets, 400, 0)
    assert (found.metrics[f"tpr_at_{point}_fpr"] or 0) >= 0.3
    both = found.intervals[f"tpr_at_{point}_fpr"]
    rates = found.rate_intervals[f"fpr_at_{point}"]
    assert found.rates[f"fpr_at_{point}"]["fake"] is not None
    found_none = [one is None for one in (both, rates["fake"], rates["original"])]
    assert found_none == [not has_interval] * 3
    assert rates["calm"] == (0.0, 0.0), "none of them is called, whatever the threshold"
    if both is not None:
        assert both[0] > 0.25


def test_fpr_below_the_largest_score_of_non_members_alone_finds_nobody() -> None:
    """Nothing ties but copies of an image, and no member is among them: the TPR is 0."""
    scores, member = np.random.default_rng(1).random(2000), np.arange(2000) < 1000
    scores[1000:1003] = 2, 3, 4
    found = judge(scores, member, {}, 400, 0)
    assert found.metrics["tpr_at_0.1pct_fpr"] == 0
    both = found.intervals["tpr_at_0.1pct_fpr"]
    assert both is not None and both[0] == 0


def test_interval_is_of_the_resamples_that_have_a_value() -> None:
    values = np.arange(1000.0)
    values[:25] = np.nan
    low, high = interval([values[:300], values[300:]]) or (0, 0)
    assert (low, high) == pytest.approx(np.percentile(values[25:], [2.5, 97.5]))
    values[25] = np.nan
    assert interval([values]) is interval([]) is interval([np.full(9, np.nan)]) is None


def coverage(
    metric: str, truth: float, distance: float, sizes: tuple[int, int], runs: int
) -> tuple[float, float]:
    """Return how many intervals contain the truth, and the mean estimate, of Gaussian scores."""
    member = np.arange(sum(sizes)) < sizes[0]
    covered, values = 0, []
    for seed in range(runs):
        scores = np.random.default_rng(seed).normal(size=len(member)) + distance * member
        found = judge(scores, member, {}, 200, seed)
        low, high = found.intervals[metric] or (0, 1)
        covered += low <= truth <= high
        values.append(found.metrics[metric] or 0.0)
    return covered / runs, float(np.mean(values))


def test_few_members_make_intervals_of_balanced_accuracy_too_narrow() -> None:
    """As docs/report.md says: 92% with 5 members among 500, above 98% with as many of both."""
    few, _ = coverage("balanced_accuracy", 0.5, 0, (5, 500), 150)
    even, _ = coverage("balanced_accuracy", 0.5, 0, (200, 200), 100)
    assert 0.85 < few < 0.96 and even > 0.96


def test_fpr_that_few_non_members_decide_makes_the_tpr_too_large() -> None:
    """As docs/audit.md says of a 0.1% FPR with 1,000 non-members."""
    truth = norm.sf(norm.isf(0.001) - 1)
    covered, mean = coverage("tpr_at_0.1pct_fpr", truth, 1, (1000, 1000), 80)
    assert mean > 1.2 * truth and covered < 0.9
    more, _ = coverage("tpr_at_1pct_fpr", norm.sf(norm.isf(0.01) - 1), 1, (1000, 1000), 80)
    assert more > 0.88
