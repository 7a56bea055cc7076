"""The attacks against numbers that the paper's published code gives on the same scores."""

from statistics import median
from typing import Any

import pytest

from tests.attacks.attacking import attack as run_attack
from tests.helpers import REFERENCE
from trustmia import files
from trustmia.calibration.metrics import calibration_metrics
from trustmia.measures.table import measure
from trustmia.measures.views import nested
from trustmia.signals.container import Signals
from trustmia.signals.scores import ScoreSet, read_scores

EXPECTED = files.read_json(REFERENCE / "fashion_cnn_expected.json")
OUR_NAMES = {
    "attack_acc": "accuracy",
    "fpr_at_tpr95": "fpr_at_95tpr",
    "ece15": "ece",
    "overconfidence15": "overconfidence_error",
}
COMPLEMENTS = {"tnr": "fpr", "fnr": "tpr"}
TOLERANCE = 1e-3
# The published network has several outcomes: with one seed in three, a set of saturated scores
# falls to the other side as a whole (AUPR of digits 0.47 away, FPR of scaled 1). So it is the
# median of some seeds that is held against the range of five; other seeds are within 0.005 of it.
SALEM_SEEDS = (42, 1, 2, 3, 4)
SALEM_MARGIN = 0.01


def scores_of(role: str) -> ScoreSet:
    return read_scores(REFERENCE / f"fashion_cnn_{role}.npz", needs_sets=role == "target")


def reached_by(names: list[str], seed: int = 42) -> dict[str, Any]:
    """Return what attacks reach and learn, as `metrics.json` of an audit has it."""
    signals = Signals(scores_of("target"), scores_of("shadow"))
    found: dict[str, Any] = nested(measure(run_attack(signals, names, seed=seed), 0, seed))
    return found


def ours(metrics: dict[str, float], name: str) -> float:
    if name in COMPLEMENTS:
        return 1 - metrics[COMPLEMENTS[name]]
    return metrics[OUR_NAMES.get(name, name)]


def test_sets_metrics_and_what_is_learned_match_the_published_code() -> None:
    result = reached_by(["threshold", "entropy"])
    assert set(result["sets"]) == set(EXPECTED["sets"]) != set()
    for name, attacks in EXPECTED["sets"].items():
        for attack in ("threshold", "entropy"):
            published, found = attacks[attack], result["sets"][name][attack]
            reached = {metric: ours(found, metric) for metric in published}
            assert reached == pytest.approx(published, abs=TOLERANCE), (name, attack)
    learned = {name: result["parameters"][name] for name in EXPECTED["parameters"]}
    assert learned == pytest.approx(EXPECTED["parameters"], abs=1e-6)


def test_salem_attack_lands_near_the_range_of_five_seeds() -> None:
    results = [reached_by(["salem"], seed)["sets"] for seed in SALEM_SEEDS]
    outside = {
        (name, metric): (reached, bounds)
        for name, attacks in EXPECTED["sets"].items()
        for metric, bounds in attacks["salem_5_seeds"].items()
        for reached in [median(ours(r[name]["salem"], metric) for r in results)]
        if not bounds["min"] - SALEM_MARGIN <= reached <= bounds["max"] + SALEM_MARGIN
    }
    assert outside == {}


def test_calibration_errors_match_the_reference() -> None:
    target = scores_of("target")
    rows = target.nonmember_sets()["original"]
    metrics = calibration_metrics(target.scores[rows], target.labels[rows])
    published = EXPECTED["calibration"]
    reached = {name: ours(metrics, name) for name in published}
    assert reached == pytest.approx(published, abs=1e-5)
