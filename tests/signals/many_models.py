"""Signals of many models, and what attacks make of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from tests.attacks.attacking import COMPARED, COMPARING, attack
from tests.helpers import REFERENCE
from tests.measures.judging import ranking_metrics
from trustmia import files
from trustmia.arrays import Bool, Float64
from trustmia.attacks import ATTACKS
from trustmia.attacks.outcome import AttackRun, AttackScores
from trustmia.commands.audit import Order, audit_signals
from trustmia.signals import confidence
from trustmia.signals.comparison import Comparison
from trustmia.signals.container import Signals
from trustmia.signals.many_models import ManyModels, ModelOutputs, read_signals
from trustmia.signals.summaries import Summary, summarise

# What the published codes reach on `signals.npz`.
PUBLISHED = files.read_json(REFERENCE / "signals_expected.json")["attacks"]
LIRA, RMIA = ([form.name for form in ATTACKS[name].forms] for name in ("lira", "rmia"))
Arrays = dict[str, npt.NDArray[Any]]
Says = Callable[[np.random.Generator, int, int], npt.NDArray[Any]]


def halves(rng: np.random.Generator, models: int, images: int) -> Bool:
    """Put each image into exactly half of the models, so that counts tell members apart."""
    return rng.random((models, images)).argsort(axis=0) < models // 2


def pairs(rng: np.random.Generator, models: int, images: int) -> Bool:
    half = rng.random((models // 2, images)).argsort(axis=1) < images // 2
    return np.stack([half, ~half], axis=1).reshape(-1, images)


def coins(rng: np.random.Generator, models: int, images: int) -> Bool:
    return rng.random((models, images)) < 0.5


def arrays(models: int = 6, images: int = 40, views: int | None = None, seed: int = 0) -> Arrays:
    """Return signals of models that are surer of the images they were trained on."""
    rng = np.random.default_rng(seed)
    member, labels = pairs(rng, models, images), rng.integers(4, size=images)
    logits = rng.normal(size=(models, images, views or 1, 4))
    logits += (2 + 2 * member)[:, :, None, None] * np.eye(4)[labels][:, None]
    population_labels = rng.integers(4, size=30)
    population = rng.normal(size=(models, 30, views or 1, 4))
    population += 2 * np.eye(4)[population_labels][:, None]
    shown = [part.astype(np.float32) for part in (logits, population)]
    return {
        "logits": shown[0] if views else shown[0][:, :, 0],
        "member": member,
        "labels": labels,
        "population_logits": shown[1] if views else shown[1][:, :, 0],
        "population_labels": population_labels,
    }


def save(path: Path, content: Arrays) -> Path:
    files.write_arrays(path, content)
    return path


def compared(
    models: ManyModels, names: Sequence[str] = COMPARING, target: int = 0, **changes: dict[str, Any]
) -> AttackRun:
    return attack(Signals(models=models, target_index=target), names, changes)


def scores_of(path: Path, target: int = 0) -> dict[str, Float64]:
    models = read_signals(path)
    forms = compared(models, target=target).forms
    return {name: form.scores[models.audited] for name, form in forms.items()}


def ranked(form: AttackScores) -> tuple[Float64, Bool]:
    """Return the ranking of the audited images that have one, and which are members."""
    parts = [form.ranking[form.groups[name]] for name in ("members", "original")]
    ranking = np.concatenate(parts)
    member = np.arange(len(ranking)) < len(parts[0])
    return ranking[~np.isnan(ranking)], member[~np.isnan(ranking)]


def comparison_of(said: AttackRun) -> Comparison:
    assert said.comparison is not None
    return said.comparison


def score(name: str, found: Summary, population: Summary | None, **changes: Any) -> Float64:
    settings = ATTACKS[name.split("_")[0]].settings(**changes)
    return COMPARED[name].score(found, population, settings)


def audit(
    path: Path, names: Sequence[str], out: Path, target: int = 0, resamples: int = 0
) -> tuple[str, dict[str, Any]]:
    """Return what an audit says and what is in its `metrics.json`."""
    settings = {name: ATTACKS[name].settings() for name in names}
    said = audit_signals(path, target, Order(settings, out, resamples, seed=0))
    return said, files.read_json(out / "metrics.json")


def in_memory(phi: Float64) -> ModelOutputs:
    """Return models that say confidences, float64 [M, N, A]."""
    unused = np.zeros(phi.shape[1], np.int64)
    return ModelOutputs(list(phi), lambda block, _: block, unused, "")


def summaries(content: Arrays, target: int = 0) -> tuple[Summary, Summary]:
    """Return those of the images and of the population, of all models but the target."""
    parts = []
    for prefix in ("", "population_"):
        logits = content[f"{prefix}logits"]
        logits = logits if logits.ndim == 4 else logits[:, :, None]
        phi = confidence.from_logits(logits, content[f"{prefix}labels"])
        member = np.zeros(phi.shape[:2], bool) if prefix else content["member"]
        references = np.delete(np.arange(len(phi)), target)
        parts.append(summarise(in_memory(phi), member, target, references))
    return parts[0], parts[1]


def binary(says: Says, models: int, images: int, design: Any, views: int | None = None) -> Arrays:
    """Return signals of two classes: a probability of the true one that ignores membership."""
    rng = np.random.default_rng(models)
    content: Arrays = {"member": design(rng, models, images)}
    for prefix, count in (("", images), ("population_", 50)):
        true = says(rng, models, count)
        scores = np.stack([true, 1 - true], axis=-1)
        if views is not None:
            scores = np.repeat(scores[:, :, None], views, axis=2)
        content |= {f"{prefix}scores": scores, f"{prefix}labels": np.zeros(count, np.int64)}
    return content


def constant(value: float, kind: str = "f8") -> Says:
    return lambda rng, models, images: np.full((models, images), value, kind)


def forms_of(path: Path) -> dict[str, tuple[float | None, float | None]]:
    """Return AUROC and balanced accuracy of every form that is possible."""
    said = compared(read_signals(path))
    found = {}
    for name, form in said.forms.items():
        ranking, member = ranked(form)
        assert np.isfinite(ranking).all(), name
        metrics = ranking_metrics(ranking, member)
        found[name] = (metrics["auroc"], metrics["balanced_accuracy"])
    return found


def null_signals(rng: np.random.Generator, member: Bool, surer: float = 2.0) -> ManyModels:
    """Return signals that know nothing of membership; model 1 is surer of all images."""
    models, images = member.shape

    def shown(count: int) -> ModelOutputs:
        phi = rng.normal(0, 2, count) + rng.normal(size=(models, count))
        phi += np.where(np.arange(models) == 1, surer, 0.0)[:, None]
        return in_memory(phi[:, :, None])

    names = tuple(map(str, range(models)))
    return ManyModels(shown(images), member, shown(60), slice(0, images), "null", names, {})


def area_of(said: AttackRun, name: str) -> float:
    ranking, member = ranked(said.forms[name])
    return float(roc_auc_score(member, ranking))


def z_of(differences: Float64) -> float:
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() / max(error, 1e-12))


def own_folder(folder: Path, content: Arrays) -> Path:
    folder.mkdir()
    for name, array in content.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def lira_folder(folder: Path, content: Arrays, kind: str, name: str = "{}") -> Path:
    phi = confidence.from_logits(content["logits"][:, :, None], content["labels"])
    for model, keep in enumerate(content["member"]):
        place = folder / name.format(model)
        place.mkdir(parents=True)
        np.save(place / "keep.npy", keep)
        values = phi[model] if kind == "scores" else content["logits"][model][:, None]
        np.save(place / f"{kind}.npy", values)
    if kind == "logits":
        np.save(folder / "labels.npy", content["labels"])
    return folder


def privacy_meter_folder(folder: Path, content: Arrays, kind: str = "rmia") -> Path:
    (folder / "signals").mkdir(parents=True, exist_ok=True)
    np.save(folder / "memberships.npy", content["member"])
    for suffix, prefix in (("", ""), ("_pop", "population_")):
        logs = log_softmax(content[f"{prefix}logits"].astype(float), axis=-1)
        labels = content[f"{prefix}labels"]
        true = logs[:, np.arange(len(labels)), labels].T
        values = np.exp(true) if kind == "rmia" else -true
        np.save(folder / "signals" / f"{kind}_signals{suffix}.npy", values)
    return folder
