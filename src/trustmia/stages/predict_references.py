"""Stage `predict_references`: what target and reference models say of all images, as signals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from trustmia import files, paths
from trustmia.arrays import Float32
from trustmia.image_sets import MEMBERS
from trustmia.image_sets.views import VIEWS
from trustmia.images.base import Images
from trustmia.images.prepared import read_prepared
from trustmia.params import load_params
from trustmia.references.store import read_member
from trustmia.signals.rows import SignalRows, arrange
from trustmia.stages._inputs import read_audited, read_split, read_target_logits
from trustmia.stages._reference_models import CalibratedModel, Shown, calibrated_models


def main() -> None:
    """Write `outputs/signals`, in the form of `trustmia audit --signals`.

    The target is model 0; what `predict` has written of it is not asked again. Reference
    models are calibrated as the target is, each on its own training images and the same
    held-out ones.
    """
    prepared = read_prepared(paths.DATASET)
    shown = Shown(
        params=load_params(),
        prepared=prepared,
        audited=prepared.images.take(read_audited()),
        validation=prepared.images.take(read_split("target")["validation"]),
        population=prepared.images.take(read_split("shadow")["test"]),
    )
    member = read_member(paths.REFERENCES)
    target = read_target_logits()
    rows = arrange(target.sets, target.labels, target.logits, member)
    with files.atomic_folder(paths.SIGNALS) as fresh:
        write_descriptions(fresh, rows, shown)
        models = calibrated_models(shown, target.logits[rows.order], member)
        write_logits(fresh, rows, shown, models)


def write_descriptions(folder: Path, rows: SignalRows, shown: Shown) -> None:
    """Write what is known of the images without asking a model."""
    np.save(folder / "set.npy", rows.sets)
    np.save(folder / "labels.npy", rows.labels)
    np.save(folder / "member.npy", rows.member)
    np.save(folder / "population_labels.npy", shown.population.labels)


def write_logits(
    folder: Path, rows: SignalRows, shown: Shown, models: Iterator[CalibratedModel]
) -> None:
    """Write `logits.npy` and `population_logits.npy`, one model after the other."""
    count = len(rows.member)
    logits = allocate(folder / "logits.npy", count, len(rows.sets), shown)
    population = allocate(folder / "population_logits.npy", count, len(shown.population), shown)
    nothing = np.empty((0, logits.shape[-1]), np.float32)
    for number, model in enumerate(
        tqdm(models, desc="predict references", unit="model", total=count)
    ):
        start = 0
        for name, images in shown.sets():
            stop = start + len(images)
            logits[number, start:stop] = of_views(
                model, name, images, shown, model.plain[start:stop]
            )
            start = stop
        population[number] = of_views(model, MEMBERS, shown.population, shown, nothing)
    logits.flush()
    population.flush()


def allocate(path: Path, models: int, images: int, shown: Shown) -> "np.memmap[Any, Any]":
    """Create an array on disk: float32 [M, N, K], or [M, N, A, K] of several views."""
    classes, views = len(shown.prepared.dataset.classes), len(shown.params.predict.views)
    per_image = (classes,) if views == 1 else (views, classes)
    return np.lib.format.open_memmap(path, "w+", np.float32, (models, images, *per_image))


def of_views(
    asked: CalibratedModel, name: str, images: Images, shown: Shown, plain: Float32
) -> Float32:
    """Return a model's calibrated logits of an image set: float32 [n, K], or [n, A, K].

    Args:
        asked: The model.
        name: The image set.
        images: Its images.
        shown: The parameters.
        plain: float32 [n, K] of the images as they are, or of none.
    """
    parts = []
    for view in shown.params.predict.views:
        if view == "plain" and len(plain) == len(images):
            parts.append(plain)
            continue
        viewed = Images(VIEWS[view](images.pixels), images.labels)
        seen = shown.ask(asked.model, name, viewed)
        parts.append(asked.calibration.logits(seen.features, seen.logits).numpy())
    return parts[0] if len(parts) == 1 else np.stack(parts, axis=1)
