"""Stage `calibrate@{target,shadow}`: fit what turns logits into prediction scores."""

import pandas as pd
import torch

from trustmia import files, paths
from trustmia.arrays import Int64
from trustmia.calibration import files as calibrated
from trustmia.calibration.base import Calibration
from trustmia.calibration.metrics import calibration_metrics, reliability_table
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.inference import Prediction
from trustmia.images.prepared import read_prepared
from trustmia.params import load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.compute import pick_device
from trustmia.stages._calibration import fit_calibration
from trustmia.stages._inputs import read_split


def main(role: str) -> None:
    """Write the calibration, `metrics/calibration_{role}.json`, the reliability diagram."""
    params = load_params()
    prepared = read_prepared(paths.DATASET)
    dataset, images = prepared.dataset, prepared.images
    index = read_split(role)
    model = classifiers.restore(dataset, checkpoints.load(paths.CLASSIFIERS / role / "model"))
    model.to(pick_device())
    seen: dict[str, Prediction] = {}
    labels: dict[str, Int64] = {}
    for part in ("train", "validation", "test"):
        shown = images.take(index[part])
        seen[part] = classifiers.show(model, dataset, shown, params.predict)
        labels[part] = shown.labels
    calibration = fit_calibration(
        params, dataset, model, seen["train"], seen["validation"], labels["validation"]
    )
    calibrated.save(paths.CALIBRATED / role, params.calibration.method, calibration)
    report(role, calibration, seen["test"], labels["test"])


def report(role: str, calibration: Calibration, test: Prediction, labels: Int64) -> None:
    """Write what the calibration changed on the test images."""
    scores = {
        "before": torch.softmax(test.logits, dim=1).numpy(),
        "after": calibration.scores(test.features, test.logits).numpy(),
    }
    metrics = {name: calibration_metrics(s, labels) for name, s in scores.items()}
    files.write_json(
        paths.METRICS / f"calibration_{role}.json", metrics | calibrated.fitted_values(calibration)
    )
    tables = []
    for name, values in scores.items():
        table = pd.DataFrame(reliability_table(values, labels))
        tables.append(table[table["count"] > 0].assign(calibration=name))
    files.write_table(paths.PLOTS / "reliability" / f"{role}.csv", pd.concat(tables), "%.6f")
