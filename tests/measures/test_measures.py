"""Metrics and ROC curves against scikit-learn and brute force."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from tests.measures.judging import FPRS, METRICS, judge, ranking_metrics, rate_by_hand
from trustmia.arrays import Bool, Float64
from trustmia.attacks.outcome import Decisions
from trustmia.measures import bootstrap
from trustmia.measures.bootstrap import draws, interval
from trustmia.measures.evidence import DecidedImages, halves_of
from trustmia.measures.metrics import DECISIONS, public
from trustmia.measures.roc import roc_of_scores, thin_roc

values = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32, allow_subnormal=False)
)
rows = st.tuples(values, st.booleans(), st.floats(0.125, 1, width=32))
groups = st.lists(rows, min_size=1, max_size=30)
Rows = list[tuple[float, bool, float]]


@dataclass
class Case:
    members: Rows
    nonmembers: Rows

    def __post_init__(self) -> None:
        scores, called, maxima = (np.asarray(c) for c in zip(*self.members, *self.nonmembers))
        self.scores = scores.astype(np.float32)
        said = Decisions(called, self.scores, maxima.astype(np.float32))
        rows = np.split(np.arange(len(scores)), [len(self.members)])
        images = DecidedImages(said, rows[0], rows[1], "fake")
        once = images.drawn({k: np.ones((1, n)) for k, n in images.sizes.items()}, False)
        self.metrics = {public(k): float(m.value(once)[0]) for k, m in DECISIONS.items()}
        self.truth = np.repeat([True, False], [len(self.members), len(self.nonmembers)])
        self.member_scores, self.other_scores = self.scores[rows[0]], self.scores[rows[1]]
        self.roc = roc_of_scores(self.member_scores, self.other_scores)


cases = st.builds(Case, groups, groups)


@settings(deadline=None)
@given(cases)
def test_areas_and_curve_are_those_of_scikit_learn(case: Case) -> None:
    fpr, tpr, _ = roc_curve(case.truth, case.scores, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(case.truth, case.scores)
    assert np.array_equal(case.roc.fpr, fpr) and np.array_equal(case.roc.tpr, tpr)
    assert case.metrics["auroc"] == pytest.approx(roc_auc_score(case.truth, case.scores))
    assert case.metrics["aupr"] == pytest.approx(auc(recall, precision))


@settings(deadline=None)
@given(groups, groups)
@example([(0.2, False, 0.7), (0.4, False, 0.5)], [(0.2, False, 0.7)])
def test_rates_and_mean_scores_are_those_of_counts(members: Rows, nonmembers: Rows) -> None:
    case = Case(members, nonmembers)
    called, maxima = (np.asarray([row[k] for row in members + nonmembers]) for k in (1, 2))
    tp, fp = called & case.truth, called & ~case.truth
    outcomes = {"tp": tp, "fp": fp, "fn": ~called & case.truth, "tn": ~called & ~case.truth}
    recall, fpr = tp.sum() / len(members), fp.sum() / len(nonmembers)
    expected = {
        "precision": tp.sum() / called.sum() if called.any() else 0,
        "recall": recall,
        "tpr": recall,
        "fpr": fpr,
        "advantage": recall - fpr,
        "accuracy": (called == case.truth).mean(),
        **{f"{k}_mmps": maxima[rows].mean() if rows.any() else 0 for k, rows in outcomes.items()},
    }
    assert {name: case.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert set(case.metrics) >= {*expected, "auroc", "aupr", "fpr_at_95tpr"}


@settings(deadline=None)
@given(cases)
# A TPR of exactly 95% counts.
@example(Case([(0.9, True, 0.9)] * 19 + [(0.1, False, 0.9)], [(0.5, False, 0.9)]))
def test_fpr_at_95tpr_is_the_smallest_fpr_that_reaches_it(case: Case) -> None:
    reaching = [
        (case.other_scores >= threshold).mean()
        for threshold in np.unique(case.scores)
        if (case.member_scores >= threshold).mean() >= 0.95
    ]
    assert case.metrics["fpr_at_95tpr"] == min(reaching)


@settings(deadline=None)
@given(cases)
def test_thinning_keeps_the_ends_and_invents_nothing(case: Case) -> None:
    thin = thin_roc(case.roc)
    full_points = list(zip(case.roc.fpr, case.roc.tpr))
    places = [full_points.index(point) for point in zip(thin.fpr, thin.tpr)]
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0, len(full_points) - 1)


def test_thinning_keeps_the_outermost_point_of_every_step_and_the_area() -> None:
    rng = np.random.default_rng(3)
    full = roc_of_scores(*(rng.normal(mean, 1, 5000).astype(np.float32) for mean in (1, 0)))
    thin = thin_roc(full)
    kept = set(zip(thin.fpr, thin.tpr))
    assert auc(thin.fpr, thin.tpr) == pytest.approx(auc(full.fpr, full.tpr), abs=1e-3)
    assert len(thin.fpr) < 700 < len(full.fpr)
    for step in np.concatenate([np.linspace(0, 1, 200), np.geomspace(1e-7, 1, 200)]):
        place = np.flatnonzero(full.fpr <= step)[-1]
        assert (full.fpr[place], full.tpr[place]) in kept
    for step in np.linspace(0, 1, 200):
        place = np.flatnonzero(full.tpr >= step)[0]
        assert (full.fpr[place], full.tpr[place]) in kept


@pytest.mark.parametrize(
    ("point", "saturated", "has_interval"),
    [*(("1pct", n, n < 9) for n in (0, 4, 9)), ("5pct", 25, True), ("5pct", 46, False)],
)
def test_resamples_in_which_no_threshold_has_the_fpr_have_no_rates(
    point: str, saturated: int, has_interval: bool
) -> None:
    """30% of the members, and some non-members, share the largest score."""
    scores, member = np.random.default_rng(0).random(2000), np.arange(2000) < 1000
    scores[:300] = scores[1000 : 1000 + saturated] = 2
    sets = {"fake": np.repeat([2.0, 1.0], [40, 60]), "calm": np.full(10, -1.0)}
    found = judge(scores, member, sets, 400, 0)
    assert (found.metrics[f"tpr_at_{point}_fpr"] or 0) >= 0.3
    both = found.intervals[f"tpr_at_{point}_fpr"]
    rates = found.rate_intervals[f"fpr_at_{point}"]
    assert found.rates[f"fpr_at_{point}"]["fake"] is not None
    found_none = [one is None for one in (both, rates["fake"], rates["original"])]
    assert found_none == [not has_interval] * 3
    assert rates["calm"] == (0.0, 0.0), "none of them is called, whatever the threshold"
    assert both is None or both[0] > 0.25


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
    truth: dict[str, float], distance: float, sizes: tuple[int, int], runs: int
) -> list[float]:
    """Return how many intervals contain each truth, then the mean estimates, of Gaussian scores."""
    member = np.arange(sum(sizes)) < sizes[0]
    rows: list[list[float]] = []
    for seed in range(runs):
        scores = np.random.default_rng(seed).normal(size=len(member)) + distance * member
        found = judge(scores, member, {}, 200, seed)
        both = [found.intervals[metric] or (0, 1) for metric in truth]
        rows.append([low <= value <= high for value, (low, high) in zip(truth.values(), both)])
        rows[-1] += [found.metrics[metric] or 0.0 for metric in truth]
    return np.mean(rows, axis=0).tolist()


def test_few_members_make_intervals_of_balanced_accuracy_too_narrow() -> None:
    """As docs/report.md says: 92% with 5 members among 500, above 98% with as many of both."""
    few, _ = coverage({"balanced_accuracy": 0.5}, 0, (5, 500), 150)
    even, mean = coverage({"balanced_accuracy": 0.5}, 0, (200, 200), 100)
    assert 0.85 < few < 0.96 and even > 0.96
    # An attack that knows nothing is at 1/2, but for four standard errors of 100 runs.
    assert abs(mean - 0.5) < 4 * 0.025 / 10


def test_fpr_that_few_non_members_decide_makes_the_tpr_too_large() -> None:
    """As docs/audit.md says of a 0.1% FPR with 1,000 non-members."""
    truth = {
        key: norm.sf(norm.isf(FPRS[key]) - 1) for key in ("tpr_at_0.1pct_fpr", "tpr_at_1pct_fpr")
    }
    few, more, mean, _ = coverage(truth, 1, (1000, 1000), 80)
    assert mean > 1.2 * truth["tpr_at_0.1pct_fpr"] and few < 0.9 and more > 0.88


score = st.integers(0, 9).map(float)
ranked_images = st.tuples(st.lists(st.tuples(score, st.booleans()), max_size=58), score, score).map(
    lambda drawn: [(drawn[1], True), (drawn[2], False), *drawn[0]]
)


def crossed_by_hand(
    scores: Float64, member: Bool, seed: int, times: Float64 | None = None
) -> float | None:
    """Return each half's balanced accuracy at the threshold that is best for the other.

    Images, [N], count as often as `times` says, once if it is None.
    """
    half, values = halves_of(member, seed), []
    weights = np.ones(len(scores)) if times is None else times
    if half is None:
        return None

    def reached(threshold: float, part: Bool) -> float:
        groups = (part & member, part & ~member)
        tpr, fpr = (np.average(scores[some] >= threshold, weights=weights[some]) for some in groups)
        return float((tpr + 1 - fpr) / 2)

    for part in (half, ~half):
        # Of equally good thresholds the largest, first of all the one that nobody reaches.
        grid = [np.inf, *np.unique(scores)[::-1]]
        best = max(grid, key=lambda threshold: (round(reached(threshold, part), 9), threshold))
        values.append(reached(best, ~part))
    return float(np.mean(values))


@settings(deadline=None)
@given(ranked_images)
def test_metrics_are_those_of_scikit_learn(images: list[tuple[float, bool]]) -> None:
    scores, member = (np.asarray(column) for column in zip(*images))
    found = ranking_metrics(scores, member)
    assert found["auroc"] == pytest.approx(roc_auc_score(member, scores))
    assert found["balanced_accuracy"] == pytest.approx(crossed_by_hand(scores, member, 0))
    # So few non-members have no FPR as small as these.
    assert found["tpr_at_1pct_fpr"] is found["tpr_at_0.1pct_fpr"] is None


def test_balanced_accuracy_of_two_gaussians_is_known() -> None:
    rng = np.random.default_rng(4)
    member = np.arange(200_000) < 100_000
    for distance in (0.0, 0.5, 2.0):
        found = ranking_metrics(rng.normal(size=len(member)) + distance * member, member)
        assert found["balanced_accuracy"] == pytest.approx(norm.cdf(distance / 2), abs=0.005)


def test_fprs_that_no_threshold_has_are_null_and_others_are_told() -> None:
    member = np.arange(2000) < 1000
    scores = np.random.default_rng(0).normal(size=2000) + member
    for saturated in (30, 60):
        ties = scores.copy()
        ties[1000 : 1000 + saturated] = 9.0
        ties[:500] = 9.0
        found = judge(ties, member, {"fake": ties[:10]}, 20, 0)
        for name, limit in FPRS.items():
            null = limit < saturated / 1000
            assert (found.metrics[name] is None) == null == (found.realised[name] is None)
            assert (found.intervals[name] is None) == null
            assert null or 0.03 <= (found.realised[name] or 0) <= limit
        assert (found.rates["fpr_at_5pct"]["fake"] is None) == (saturated > 50)
        assert found.rates["fpr_at_1pct"] == {"original": None, "fake": None}
        assert found.rate_intervals["fpr_at_1pct"] == {"original": None, "fake": None}


def test_tpr_at_a_small_fpr_is_the_last_point_that_still_has_it() -> None:
    rng = np.random.default_rng(0)
    member = rng.random(6000) < 0.5
    scores = rng.normal(size=6000) + member
    found = ranking_metrics(scores, member)
    fpr, tpr, _ = roc_curve(member, scores, drop_intermediate=False)
    for name, limit in (("tpr_at_1pct_fpr", 0.01), ("tpr_at_0.1pct_fpr", 0.001)):
        assert found[name] == tpr[fpr <= limit].max()
    assert found["tpr_at_0.01pct_fpr"] is None


def test_fpr_exactly_at_the_limit_counts() -> None:
    member = np.asarray([True] * 10 + [False] * 100)
    scores = np.concatenate([np.full(9, 2.0), [0.0], [1.5], np.linspace(-1, 0, 99)])
    scores[0] = 1.2
    assert ranking_metrics(scores, member)["tpr_at_1pct_fpr"] == 0.9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rates_of_other_sets_are_those_at_the_held_out_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    member = np.arange(60) < 25
    scores, others = rng.integers(12, size=60) / 3, rng.integers(14, size=30) / 3
    found = judge(scores, member, {"fake": others}, 0, 0)
    for point, limit in (("fpr_at_5pct", 0.05), ("fpr_at_1pct", 0.01)):
        rate, expected = found.rates[point], rate_by_hand(scores, member, others, limit, scores)
        if expected is None or limit * 35 < 1:
            assert rate == {"original": None, "fake": None}
            continue
        assert rate["fake"] == pytest.approx(expected)
        assert rate["original"] is not None and rate["original"] <= limit


def test_intervals_are_those_of_resamples_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    member = rng.random(240) < 0.5
    scores = (rng.normal(size=240) + member).round(1)
    others = rng.normal(size=90).round(1)
    sizes = {"members": int(member.sum()), "original": int((~member).sum()), "fake": 90}
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    rates = []
    for block in draws(sizes, 50, 7):
        assert all((block[name].sum(axis=1) == size).all() for name, size in sizes.items())
        for members, held_out, fakes in zip(block["members"], block["original"], block["fake"]):
            times = np.zeros(240)
            times[member], times[~member] = members, held_out
            rows = np.repeat(np.arange(240), times.astype(int))
            drawn = others[np.repeat(np.arange(90), fakes.astype(int))]
            rates.append(rate_by_hand(scores[rows], member[rows], drawn, 0.05, scores) or 0.0)
            for name, value in ranking_metrics(scores[rows], member[rows]).items():
                values[name].append(0.0 if value is None else value)
            values["balanced_accuracy"][-1] = crossed_by_hand(scores, member, 7, times) or 0.0
    monkeypatch.setattr(bootstrap, "BLOCK", 700)
    found = judge(scores, member, {"fake": others}, 50, 7)
    intervals = found.intervals | {"fake": found.rate_intervals["fpr_at_5pct"]["fake"]}
    values["fake"] = rates
    for name in ("auroc", "balanced_accuracy", "tpr_at_1pct_fpr", "tpr_at_5pct_fpr", "fake"):
        expected = tuple(np.percentile(values[name], [2.5, 97.5]))
        assert intervals[name] == pytest.approx(expected), name
    assert found.intervals["tpr_at_0.1pct_fpr"] is None


def test_intervals_follow_the_seed_and_hold_the_value() -> None:
    rng = np.random.default_rng(2)
    member = rng.random(1000) < 0.5
    scores = rng.normal(size=1000) + member
    first, again, other = (judge(scores, member, {}, 200, seed).intervals for seed in (1, 1, 2))
    assert first == again != other
    interval, value = first["auroc"], ranking_metrics(scores, member)["auroc"]
    assert interval is not None and value is not None
    assert interval[0] < value < interval[1] < interval[0] + 0.1
    assert judge(scores, member, {}, 0, 1).intervals == dict.fromkeys(METRICS)
