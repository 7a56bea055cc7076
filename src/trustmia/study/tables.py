"""What a run leaves behind, as tables."""

import io
import json
from collections.abc import Callable
from functools import partial
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
    "attacks": {name: kind for name, kind in RESULT_COLUMNS.items() if name != "n"},
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
    gallery = _parsed(read, f"{paths.OUTPUTS}/gallery/gallery.parquet", pd.read_parquet)
    return {
        "models": models_table(read),
        "attacks": attacks_table(read),
        "roc": _roc_table(read),
        "density": _typed("density", _csv(read, "score_density")),
        "distances": _distances_table(read),
        "reliability": _typed("reliability", _csv(read, "reliability/target")),
        "embedding": _typed("embedding", _csv(read, "tsne")),
        "gallery": _typed("gallery", gallery),
    }


def workspace_tables() -> RunTables:
    """Return everything that the last run in the working tree tells."""
    return run_tables(lambda path: Path(path).read_bytes())


def models_table(read: Read) -> pd.DataFrame:
    """Return how good the target is: as trained (`test_accuracy`), and after calibration."""
    rows: list[tuple[str, float]] = []
    trained = _metrics(read, "train_target")
    if trained:
        rows += [(f"{part}_accuracy", trained[part]["accuracy"]) for part in ("train", "test")]
    calibrated = _metrics(read, "calibration_target").get("after", {})
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
    named = kept.assign(metric=kept["metric"].map(public))
    coarse = named.duplicated(KEYS, keep=False) & (named["metric"] != kept["metric"])
    return _typed("attacks", named[~coarse])


def _results(read: Read) -> pd.DataFrame:
    results: pd.DataFrame | None = _parsed(read, str(paths.RESULTS), parse_results)
    return pd.DataFrame(columns=RESULT_COLUMNS) if results is None else results


def _roc_table(read: Read) -> pd.DataFrame:
    parts = []
    for attack in _results(read)["attack"].unique():
        curves = _csv(read, f"roc/{attack}")
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
    distances = _metrics(read, "score_distances")
    return _typed("distances", [(a, b, d) for a, row in distances.items() for b, d in row.items()])


def _csv(read: Read, name: str) -> pd.DataFrame | None:
    # A class may be called None or NA.
    parse = partial(pd.read_csv, keep_default_na=False, na_values=[""])
    table: pd.DataFrame | None = _parsed(read, f"{paths.PLOTS}/{name}.csv", parse)
    return table


def _metrics(read: Read, name: str) -> dict[str, Any]:
    return _parsed(read, f"{paths.METRICS}/{name}.json", json.load) or {}


def _parsed(read: Read, path: str, parse: Callable[[io.BytesIO], Any]) -> Any:
    """Return the content of a file, or None without one."""
    try:
        return parse(io.BytesIO(read(path)))
    except FileNotFoundError:
        return None


def _typed(name: str, content: pd.DataFrame | list[tuple[Any, ...]] | None) -> pd.DataFrame:
    """Return a table with its columns in their types, also if it is empty."""
    columns = COLUMNS[name]
    table = pd.DataFrame([] if content is None else content, columns=list(columns))
    return table.astype(columns).reset_index(drop=True)
