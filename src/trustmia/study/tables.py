"""What a run leaves behind, as tables."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trustmia import paths
from trustmia.image_sets import FAKE, HELD_OUT

RunTables = dict[str, pd.DataFrame]
Read = Callable[[str], bytes]

EXPERIMENT_COLUMNS = {"experiment": "str", "variant": "str", "seed": "int64"}
COLUMNS: dict[str, dict[str, str]] = {
    "models": {"metric": "str", "value": "float64"},
    "attacks": {
        "attack": "str",
        "set": "str",
        "metric": "str",
        "value": "float64",
        "low": "float64",
        "high": "float64",
    },
    "roc": {"attack": "str", "set": "str", "fpr": "float64", "tpr": "float64"},
    "density": {"set": "str", "score": "float64", "density": "float64"},
    "distances": {"set_a": "str", "set_b": "str", "distance": "float64"},
    "reliability": {
        "calibration": "str",
        "lower": "float64",
        "upper": "float64",
        "count": "float64",
        "confidence": "float64",
        "accuracy": "float64",
    },
    "embedding": {"x": "float64", "y": "float64", "set": "str", "label": "str"},
    "gallery": {
        "set": "str",
        "rank": "int64",
        "score": "float64",
        "predicted": "str",
        "true": "str",
        "png": "object",
    },
}
ATTACK_METRICS = ("precision", "recall", "fpr", "advantage", "auroc")
MODEL_METRICS = ("accuracy", "nll", "ece", "overconfidence_error", "mmps")
ROC_SETS = (HELD_OUT, FAKE)
ROC_POINTS = 300


def run_tables(read: Read) -> RunTables:
    """Return everything that one run tells.

    Args:
        read: Returns the content of a file by its path from the repository's root, or
            raises FileNotFoundError. Tables of files that do not exist are empty.
    """
    return {
        "models": models_table(read),
        "attacks": attacks_table(read),
        "roc": _roc_table(read),
        "density": _csv_table("density", read, f"{paths.PLOTS}/score_density.csv"),
        "distances": _distances_table(read),
        "reliability": _csv_table("reliability", read, f"{paths.PLOTS}/reliability_target.csv"),
        "embedding": _csv_table("embedding", read, f"{paths.PLOTS}/tsne.csv"),
        "gallery": _gallery_table(read),
    }


def workspace_tables() -> RunTables:
    """Return everything that the last run in the working tree tells."""
    return run_tables(lambda path: Path(path).read_bytes())


def models_table(read: Read) -> pd.DataFrame:
    """Return how good the target is: as trained (`test_accuracy`), and after calibration."""
    rows: list[tuple[str, float]] = []
    trained = _read_json(read, f"{paths.METRICS}/train_target.json")
    if trained:
        rows += [(f"{part}_accuracy", trained[part]["accuracy"]) for part in ("train", "test")]
    calibrated = _read_json(read, f"{paths.METRICS}/calibration_target.json").get("after", {})
    rows += [(name, calibrated[name]) for name in MODEL_METRICS if name in calibrated]
    return _typed("models", rows)


def attacks_table(read: Read) -> pd.DataFrame:
    """Return what every attack reaches, with intervals where the run has them."""
    decided = _read_json(read, f"{paths.METRICS}/attack_results.json").get("sets", {})
    ranked = _read_json(read, f"{paths.METRICS}/ranking.json")
    rows = [*_decision_rows(decided, set(ranked)), *_ranking_rows(ranked)]
    return _typed("attacks", rows)


def _decision_rows(sets: dict[str, Any], ranked: set[str]) -> Iterator[tuple[Any, ...]]:
    for name, attacks in sets.items():
        for attack, reached in attacks.items():
            for metric in ATTACK_METRICS:
                # The ranking tells more apart than the float32 scores of the paper's table.
                told = metric == "auroc" and name == HELD_OUT and attack in ranked
                # Runs of before have no advantage.
                if told or metric not in reached:
                    continue
                interval = reached.get("ci95", {}).get(metric)
                yield attack, name, metric, reached[metric], *_bounds(interval)


def _ranking_rows(attacks: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for attack, reached in attacks.items():
        for metric, value in reached.items():
            if metric in ("auroc", "balanced_accuracy") or metric.startswith("tpr_at_"):
                interval = reached.get("ci95", {}).get(metric)
                yield attack, HELD_OUT, metric, value, *_bounds(interval)
            elif metric == "realised_fpr":
                for point, rate in value.items():
                    yield attack, HELD_OUT, realised(point), rate, *_bounds(None)
            elif metric.startswith("fpr_at_"):
                for name, rate in value.items():
                    yield attack, name, metric, rate["fpr"], *_bounds(rate.get("ci95"))


def realised(metric: str) -> str:
    """Return what the FPR is called at which a `tpr_at_…` is taken."""
    return f"{metric}_realised"


def _bounds(interval: list[float] | None) -> tuple[float, float]:
    return (interval[0], interval[1]) if interval else (np.nan, np.nan)


def _attacks_of(sets: dict[str, Any]) -> dict[str, None]:
    return {attack: None for attacks in sets.values() for attack in attacks}


def _roc_table(read: Read) -> pd.DataFrame:
    decided = _read_json(read, f"{paths.METRICS}/attack_results.json").get("sets", {})
    ranked = _read_json(read, f"{paths.METRICS}/ranking.json")
    parts = []
    for attack in _attacks_of(decided) | dict.fromkeys(ranked):
        curves = _read_csv(read, f"{paths.PLOTS}/roc/{attack}.csv")
        if curves is None:
            continue
        for name in ROC_SETS:
            curve = curves[curves["set"] == name]
            parts.append(thinned(curve, ROC_POINTS).assign(attack=attack))
    return _typed("roc", pd.concat(parts) if parts else None)


def thinned(curve: pd.DataFrame, points: int) -> pd.DataFrame:
    """Return at most `points` rows of a curve, both ends included, the others spread evenly."""
    kept = np.unique(np.linspace(0, len(curve) - 1, points).round().astype(int))
    return curve if len(curve) <= points else curve.iloc[kept]


def _distances_table(read: Read) -> pd.DataFrame:
    distances = _read_json(read, f"{paths.METRICS}/score_distances.json")
    return _typed("distances", [(a, b, d) for a, row in distances.items() for b, d in row.items()])


def _gallery_table(read: Read) -> pd.DataFrame:
    try:
        content = read(f"{paths.OUTPUTS}/gallery/gallery.parquet")
    except FileNotFoundError:
        return _typed("gallery", None)
    return _typed("gallery", pd.read_parquet(io.BytesIO(content)))


def _csv_table(name: str, read: Read, path: str) -> pd.DataFrame:
    return _typed(name, _read_csv(read, path))


def _read_csv(read: Read, path: str) -> pd.DataFrame | None:
    try:
        # A class may be called None or NA.
        return pd.read_csv(io.BytesIO(read(path)), keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        return None


def _read_json(read: Read, path: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(read(path))
    except FileNotFoundError:
        return {}
    return content


def _typed(name: str, content: pd.DataFrame | list[tuple[Any, ...]] | None) -> pd.DataFrame:
    """Return a table with its columns in their types, also if it is empty."""
    columns = COLUMNS[name]
    table = pd.DataFrame([] if content is None else content, columns=list(columns))
    return table.astype(columns).reset_index(drop=True)
