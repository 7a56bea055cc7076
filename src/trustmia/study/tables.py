"""What a run leaves behind, as tables."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trustmia import paths
from trustmia.image_sets import FAKE, HELD_OUT
from trustmia.measures.metrics import DECISIONS, RANKINGS, THRESHOLDS, public
from trustmia.measures.table import COLUMNS as RESULT_COLUMNS
from trustmia.measures.table import KEYS, parse_results

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
    """Return what every attack reaches, with intervals where the run has them.

    Of decisions these are the metrics that have intervals. Where a ranking's metric has the name
    of a decision's, it tells more apart than the float32 scores of the paper's table.
    """
    results = _results(read)
    decided = [key for key, metric in DECISIONS.items() if metric.interval]
    kept = results[results["metric"].isin([*decided, *RANKINGS, *THRESHOLDS])]
    found = kept.assign(metric=kept["metric"].map(public))
    coarse = found.duplicated(KEYS, keep=False) & (found["metric"] != kept["metric"])
    return _typed("attacks", found[~coarse])


def _results(read: Read) -> pd.DataFrame:
    try:
        return parse_results(io.BytesIO(read(str(paths.RESULTS))))
    except FileNotFoundError:
        return pd.DataFrame(columns=RESULT_COLUMNS)


def _roc_table(read: Read) -> pd.DataFrame:
    parts = []
    for attack in _results(read)["attack"].unique():
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
