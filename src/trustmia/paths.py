"""Where the pipeline keeps its files, relative to the root of the repository."""

from pathlib import Path

DATA = Path("data")
MODELS = Path("models")
METRICS = Path("metrics")
RESULTS = METRICS / "results.csv"
PLOTS = Path("plots")
OUTPUTS = Path("outputs")

DATASET = OUTPUTS / "images" / "dataset"
IMAGE_SETS = OUTPUTS / "images" / "sets"
SPLIT = OUTPUTS / "split"
CLASSIFIERS = OUTPUTS / "classifiers"
REFERENCES = OUTPUTS / "references"
UNFINISHED_REFERENCES = OUTPUTS / "references.unfinished"
SIGNALS = OUTPUTS / "signals"
CALIBRATED = OUTPUTS / "calibrated"
GENERATOR = OUTPUTS / "generator"
JUDGE = OUTPUTS / "judge"
FAKES = OUTPUTS / "fakes"
SCORES = OUTPUTS / "scores"
FIGURES = PLOTS / "figures"
REPORT = Path("reports") / "index.html"
FEATURES = OUTPUTS / "features"
DECISIONS = OUTPUTS / "attacks" / "decisions.npz"
GALLERY = OUTPUTS / "gallery"

PRETRAINED_CLASSIFIERS = MODELS / "classifiers"
PRETRAINED_GENERATOR = MODELS / "generator"
PRETRAINED_JUDGE = MODELS / "judge"
STYLEGAN2_ADA = MODELS / "stylegan2_ada"
INITIAL_WEIGHTS = MODELS / "initial"
DOWNLOADS = Path("downloads")
