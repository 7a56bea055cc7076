"""Where the pipeline keeps its files, relative to the root of the repository."""

from pathlib import Path

DATA = Path("data")
MODELS = Path("models")
METRICS = Path("metrics")
PLOTS = Path("plots")
OUTPUTS = Path("outputs")

DATASET = OUTPUTS / "images" / "dataset"
IMAGE_SETS = OUTPUTS / "images" / "sets"
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
STYLEGAN2_ADA = MODELS / "stylegan2_ada"
INITIAL_WEIGHTS = MODELS / "initial"
DOWNLOADS = Path("downloads")
