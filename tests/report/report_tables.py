"""Tables as a study of real runs has them, drawn at random so that sets overlap as there."""

import io
import json

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import wasserstein_distance
from sklearn.metrics import auc, roc_curve

from trustmia.arrays import Float64
from trustmia.calibration.metrics import reliability_table
from trustmia.exhibits.densities import density_table

Tables = dict[str, pd.DataFrame]
Row = tuple[str, str, str, float, float, float]

VARIANTS: dict[str, dict[str, object]] = {
    "standard": {},
    "label_smoothing": {"train.label_smoothing": 0.1},
    "weight_decay": {"train.weight_decay": 0.001},
    "temperature_10": {"calibration.method": "temperature", "calibration.temperature": 10.0},
    "temperature_fit": {"calibration.method": "temperature", "calibration.temperature": "fit"},
    "llla": {"calibration.method": "llla"},
}
LEARNED = ("threshold", "entropy", "salem")
# How much better than the maximum score a form tells members from held-out images.
GAINS = {"loss": 0.2, "difficulty": 0.5, "rmia_online": 1.1, "rmia_offline": 0.8}
GAINS |= {"lira_online": 1.0, "lira_online_global_variance": 1.1}
GAINS |= {"lira_offline": 0.5, "lira_offline_global_variance": 0.6}
# Where the sets' logits lie.
CENTRES = {"members": 9.5, "original": 7.6, "permuted": 2.6, "scaled": 11.0}
CENTRES |= {"no_normalization": 4.0, "fake": 7.9, "digits": 4.4, "patches": 2.0}
SETS = tuple(name for name in CENTRES if name != "members")
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker")
IMAGES = 400


def study_tables(variants: int = 6, seeds: int = 3, gallery: int = 8) -> Tables:
    """Return the tables of a study, `experiment`, `variant` and `seed` in front."""
    parts: dict[str, list[pd.DataFrame]] = {"experiments": []}
    for variant, changes in list(VARIANTS.items())[:variants]:
        for seed in range(42, 42 + seeds):
            rev = f"{len(parts['experiments']):040x}"
            row = {
                "rev": rev,
                "date": "2026-01-02T03:04:05+00:00",
                "dataset": "fashion_mnist",
                "changes": json.dumps(changes | {"seed": seed}),
            }
            run = {"experiments": pd.DataFrame([row])} | run_tables(variant, seed, gallery)
            for name, table in run.items():
                front = {"experiment": f"{variant}-{seed}", "variant": variant, "seed": seed}
                stacked = pd.concat([pd.DataFrame(front, index=table.index), table], axis=1)
                parts.setdefault(name, []).append(stacked)
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def run_tables(variant: str = "standard", seed: int = 42, gallery: int = 8) -> Tables:
    """Return the tables of one run."""
    rng = np.random.default_rng([seed, list(VARIANTS).index(variant)])
    logits = _logits(variant, rng)
    scores = {name: _scores(variant, values) for name, values in logits.items()}
    attacks, roc = _attacks(logits, rng)
    return {
        "models": _models(scores),
        "attacks": attacks,
        "roc": roc,
        "density": density_table(
            {name: values.astype(np.float32) for name, values in scores.items()}, len(CLASSES)
        ),
        "distances": pd.DataFrame(
            [
                (a, b, wasserstein_distance(x, y))
                for a, x in scores.items()
                for b, y in scores.items()
            ],
            columns=["set_a", "set_b", "distance"],
        ),
        "reliability": _reliability(scores["original"], rng),
        "embedding": _embedding(rng),
        "gallery": _gallery(scores, rng, gallery),
    }


def _logits(variant: str, rng: np.random.Generator) -> dict[str, Float64]:
    gap = {"label_smoothing": 1.4, "weight_decay": 0.5}.get(variant, 1.0)
    found = {}
    for name, centre in CENTRES.items():
        middle = 8.5 + (centre - 8.5) * gap + rng.normal(scale=0.15)
        found[name] = middle + rng.normal(scale=1.6, size=IMAGES) - rng.exponential(1.2, IMAGES)
    return found


def _scores(variant: str, logits: Float64) -> Float64:
    heat = {"temperature_10": 6.0, "temperature_fit": 2.4, "llla": 2.8, "label_smoothing": 2.0}
    return 0.1 + 0.9 / (1 + np.exp(-logits / heat.get(variant, 1.0)))


def _models(scores: dict[str, Float64]) -> pd.DataFrame:
    mmps = float(scores["original"].mean())
    accuracy = 0.86 + 0.02 * mmps
    values = {"train_accuracy": 1.0, "accuracy": accuracy, "nll": mmps, "ece": abs(mmps - 0.874)}
    values |= {"overconfidence_error": 0.8 * values["ece"], "mmps": mmps}
    return pd.DataFrame({"metric": list(values), "value": list(values.values())})


def _attacks(
    logits: dict[str, Float64], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: list[Row] = []
    curves = []
    for form in (*LEARNED, *GAINS):
        noisy = {n: z + rng.normal(scale=0.5, size=IMAGES) for n, z in logits.items()}
        noisy["members"] = noisy["members"] + GAINS.get(form, 0.0)
        missed = 0.08 + 0.01 * rng.normal()
        cut = float(np.quantile(noisy["members"], missed))
        for name in SETS:
            both = np.concatenate([noisy["members"], noisy[name]])
            fpr, tpr, _ = roc_curve(np.arange(len(both)) < IMAGES, both, drop_intermediate=False)
            area = float(auc(fpr, tpr))
            if form in LEARNED:
                share = float((noisy[name] > cut).mean())
                found = 1 - missed
                values = {"precision": found / (found + share), "recall": found, "fpr": share}
                values["advantage"] = found - share
                rows += [
                    (form, name, m, *_interval(v)) for m, v in (values | {"auroc": area}).items()
                ]
            elif name == "original":
                rows.append((form, name, "auroc", *_interval(area)))
            if name in ("original", "fake"):
                kept = np.unique(np.linspace(0, len(fpr) - 1, 300).astype(int))
                curve = {"attack": form, "set": name, "fpr": fpr[kept], "tpr": tpr[kept]}
                curves.append(pd.DataFrame(curve))
            if name == "original":
                rows += _ranking(form, fpr, tpr)
            if name == "original" or "online" not in form:
                for percent in (1, 5):
                    bar = np.quantile(noisy["original"], 1 - percent / 100)
                    share = float((noisy[name] > bar).mean())
                    rows.append((form, name, f"fpr_at_{percent}pct", *_interval(share)))
    columns = ["attack", "set", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns), pd.concat(curves, ignore_index=True)


def _ranking(form: str, fpr: Float64, tpr: Float64) -> list[Row]:
    values = {"balanced_accuracy": float((tpr + 1 - fpr).max() / 2)}
    for name, level in (("5", 0.05), ("1", 0.01), ("0.1", 0.001)):
        values[f"tpr_at_{name}pct_fpr"] = float(tpr[fpr <= level].max())
        values[f"tpr_at_{name}pct_fpr_realised"] = float(fpr[fpr <= level].max())
    return [(form, "original", metric, *_interval(value)) for metric, value in values.items()]


def _interval(share: float) -> tuple[float, float, float]:
    half = 1.96 * float(np.sqrt(max(share * (1 - share), 1e-6) / 2500))
    return share, max(0.0, share - half), min(1.0, share + half)


def _reliability(scores: Float64, rng: np.random.Generator) -> pd.DataFrame:
    tables = []
    for calibration, shift in (("before", 0.12), ("after", 0.05)):
        wrong = (rng.random(IMAGES) > scores - shift).astype(np.int64)
        table = pd.DataFrame(reliability_table(np.stack([scores, 1 - scores], axis=1), wrong))
        tables.append(table[table["count"] > 0].assign(calibration=calibration))
    return pd.concat(tables, ignore_index=True)


def _embedding(rng: np.random.Generator) -> pd.DataFrame:
    tables = []
    centres = rng.normal(scale=30, size=(len(CLASSES), 2))
    for name, spread in (("members", 4.0), ("original", 6.5), ("fake", 6.0)):
        labels = np.arange(320) % len(CLASSES)
        points = centres[labels] + rng.normal(scale=spread, size=(320, 2))
        columns = {"x": points[:, 0], "y": points[:, 1], "set": name}
        tables.append(pd.DataFrame(columns | {"label": [CLASSES[i] for i in labels]}))
    return pd.concat(tables, ignore_index=True)


def _gallery(scores: dict[str, Float64], rng: np.random.Generator, count: int) -> pd.DataFrame:
    rows = []
    names = ["set", "rank", "score", "predicted", "true", "png"]
    for name in SETS:
        # No pure patch passes for a member: sets without a false positive are part of life.
        for rank in range(0 if name == "patches" else count):
            score = float(np.sort(scores[name])[::-1][rank])
            predicted = CLASSES[int(rng.integers(len(CLASSES)))]
            true = predicted if name == "original" else ""
            rows.append((name, rank, score, predicted, true, _picture(rng)))
    return pd.DataFrame(rows, columns=names)


def _picture(rng: np.random.Generator) -> bytes:
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    a, b = rng.uniform(0.3, 0.9, 2)
    shade = np.clip(1.3 - (np.abs(x / a) ** 3 + np.abs(y / b) ** 3), 0, 1)
    pixels = (shade * 200 + rng.normal(scale=8, size=shade.shape) * (shade > 0)).clip(0, 255)
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()
