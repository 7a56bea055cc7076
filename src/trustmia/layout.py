"""Where the pipeline keeps its files, relative to the root of the repository."""

from pathlib import Path

DATA = Path("data")
MODELS = Path("models")
METRICS = Path("metrics")
PLOTS = Path("plots")
OUTPUTS = Path("outputs")

SPLIT = OUTPUTS / "split"
CLASSIFIERS = OUTPUTS / "classifiers"
CALIBRATED = OUTPUTS / "calibrated"
GENERATOR = OUTPUTS / "generator"
JUDGE = OUTPUTS / "judge"
FAKES = OUTPUTS / "fakes"
SCORES = OUTPUTS / "scores"

PRETRAINED_CLASSIFIERS = MODELS / "classifiers"
PRETRAINED_GENERATOR = MODELS / "generator"
PRETRAINED_JUDGE = MODELS / "judge"
