"""Densities, histograms and distances of maximum scores against slow twins and their own laws."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from trustmia.arrays import Float32, Float64
from trustmia.exhibits.densities import (
    GRID_POINTS,
    HISTOGRAM_BINS,
    MIN_BANDWIDTH,
    bandwidth,
    histogram_table,
    maximum_scores,
    reflected_density,
    score_distances,
)
from trustmia.signals.scores import ScoreSet, write_scores
from trustmia.stages import describe_scores

LOW = 0.125
GRID = np.linspace(LOW, 1, GRID_POINTS)
SCORES = st.lists(st.floats(LOW, 1, width=32), min_size=1, max_size=30).map(
    lambda values: np.asarray(values, dtype=np.float32)
)


def slow_density(values: Float32, at: float) -> float:
    """Reflect every value at both ends, again and again, and add up the bells."""
    places = np.clip(values.astype(float), LOW, 1)
    width = bandwidth((places - LOW) / (1 - LOW)) * (1 - LOW)
    images, left, right = [places], places, places
    for turn in range(8):
        mirrors = (LOW, 1) if turn % 2 else (1, LOW)
        left, right = 2 * mirrors[0] - left, 2 * mirrors[1] - right
        images += [left, right]
    return float(norm.pdf(at, np.stack(images), width).sum() / len(values))


def slow_distance(first: Float32, second: Float32) -> float:
    """Integrate the difference between the shares of values up to a score."""
    edges = np.unique(np.concatenate([first, second])).astype(float)
    return sum(
        abs((first <= start).mean() - (second <= start).mean()) * (end - start)
        for start, end in pairwise(edges)
    )


def target() -> ScoreSet:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(3, dtype=np.int32), 20)
    scores = rng.dirichlet(np.ones(4), size=60).astype(np.float32)
    scores[codes == 0] = np.eye(4, dtype=np.float32)[0]
    return ScoreSet(
        scores, np.zeros(60, dtype=np.int64), codes == 0, ("members", "zebra", "ant"), codes
    )


@given(SCORES)
@settings(max_examples=100, deadline=None)
def test_density_is_that_of_a_loop_over_mirror_images_and_sums_to_one(values: Float32) -> None:
    density = reflected_density(values, GRID)
    for point in (0, 1, 40, GRID_POINTS - 1):
        assert density[point] == pytest.approx(slow_density(values, GRID[point]), abs=1e-9)
    assert np.trapezoid(density, GRID) == pytest.approx(1, abs=1e-4)


def test_density_of_evenly_spread_scores_is_even_up_to_the_ends() -> None:
    values = np.linspace(LOW, 1, 2001)
    assert np.allclose(reflected_density(values, GRID) * (1 - LOW), 1, atol=0.01)


def test_saturated_scores_have_a_peak_at_one() -> None:
    density = reflected_density(np.ones(2500, dtype=np.float32), GRID)
    expected = 2 / (MIN_BANDWIDTH * (1 - LOW) * math.sqrt(2 * math.pi))
    assert density[-1] == pytest.approx(expected)
    assert np.all(np.diff(density) >= 0) and density[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("beyond", "end"), [(1.001, 1.0), (LOW - 0.001, LOW)])
def test_scores_just_beyond_an_end_count_as_there(beyond: float, end: float) -> None:
    outside, inside = (reflected_density(np.asarray([value]), GRID) for value in (beyond, end))
    assert np.array_equal(outside, inside)


def test_bandwidth_is_silvermans() -> None:
    values: Float64 = np.random.default_rng(0).uniform(size=1000)
    lower, upper = np.quantile(values, [0.25, 0.75])
    assert bandwidth(values) == pytest.approx(
        0.9 * min(values.std(), (upper - lower) / 1.34) * 1000**-0.2
    )


@given(st.dictionaries(st.sampled_from("abcd"), SCORES, min_size=1))
@settings(max_examples=50, deadline=None)
def test_distances_are_those_of_distributions(maxima: dict[str, Float32]) -> None:
    distances = score_distances(maxima)
    assert list(distances) == list(maxima)
    for first, others in distances.items():
        assert list(others) == list(maxima) and others[first] == 0
        for second, distance in others.items():
            assert distance == distances[second][first]
            assert distance == pytest.approx(slow_distance(maxima[first], maxima[second]), abs=1e-6)


def test_maxima_have_members_first_then_sets_as_they_came() -> None:
    maxima = maximum_scores(target())
    assert list(maxima) == ["members", "zebra", "ant"]
    assert np.array_equal(maxima["members"], np.ones(20))
    assert np.array_equal(maxima["ant"], target().scores[40:].max(axis=1))


def test_histograms_are_those_of_a_loop_over_images() -> None:
    maxima = maximum_scores(target())
    table = histogram_table(maxima, classes=4)
    width = (1 - 1 / 4) / HISTOGRAM_BINS
    for (name, group), rows in table.groupby(["set", "group"]):
        counts = [0] * HISTOGRAM_BINS
        for value in maxima["members" if group == "members" else str(name)]:
            counts[min(int((value - 1 / 4) / width), HISTOGRAM_BINS - 1)] += 1
        assert np.allclose(rows["share"], np.array(counts) / sum(counts))
        middles = 1 / 4 + (np.arange(HISTOGRAM_BINS) + 0.5) * width
        assert np.allclose(rows["maximum score"], middles)
    assert list(table["set"].unique()) == ["zebra", "ant"]
    assert list(table["group"].unique()) == ["members", "non-members"]


def test_stage_writes_tables_and_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_scores(Path("outputs/scores/target.npz"), target())
    describe_scores.main()
    table = pd.read_csv("plots/score_density.csv")
    assert list(table.columns) == ["set", "score", "density"]
    assert list(table["set"]) == [
        k for k in ("members", "zebra", "ant") for _ in range(GRID_POINTS)
    ]
    for _, rows in table.groupby("set"):
        assert np.allclose(rows["score"], np.linspace(0.25, 1, GRID_POINTS))
    assert set(pd.read_csv("plots/score_histograms.csv")["set"]) == {"zebra", "ant"}
    distances = json.loads(Path("metrics/score_distances.json").read_text(encoding="utf-8"))
    assert distances == score_distances(maximum_scores(target()))
