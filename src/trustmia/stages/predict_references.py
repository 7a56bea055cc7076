"""Stage `predict_references`: what target and reference models say of all images, as signals."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from trustmia import files, paths
from trustmia.arrays import Bool, Float32, Int64
from trustmia.calibration import files as calibrated
from trustmia.calibration.base import Calibration
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inference import Prediction
from trustmia.errors import UserError
from trustmia.image_sets import AUDITED, MEMBERS
from trustmia.image_sets.views import QUERIES
from trustmia.images.base import Images
from trustmia.images.prepared import Prepared, read_prepared
from trustmia.params import Params, load_params
from trustmia.references.rows import SignalRows, arrange
from trustmia.references.store import read_assignment, stem_of
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Card
from trustmia.runtime.compute import pick_device
from trustmia.stages._calibration import fit_calibration, show
from trustmia.stages._inputs import read_audited, read_split, read_target_logits
from trustmia.stages._runner import run_stage
from trustmia.stages._shown import image_sets


@dataclass(frozen=True)
class Shown:
    """What every model is shown.

    Attributes:
        params: The parameters.
        prepared: The data set.
        audited: The target's members and held-out images.
        validation: Held-out images that calibrations are fitted on.
        population: Images that no model was trained on: the shadow's test images.
    """

    params: Params
    prepared: Prepared
    audited: Images
    validation: Images
    population: Images

    def sets(self) -> Iterator[tuple[str, Images]]:
        """Yield all image sets, the audited images first and in one piece."""
        yield MEMBERS, self.audited
        for name, images in image_sets(self.params, self.prepared.images, "target"):
            if name not in AUDITED:
                yield name, images


@dataclass(frozen=True)
class Speaker:
    """A model that is asked.

    Attributes:
        model: The classifier.
        calibration: What makes calibrated logits of its logits.
        known: float32 [n, K], its calibrated logits of the first n rows as they are.
    """

    model: Classifier
    calibration: Calibration
    known: Float32


def main() -> None:
    """Write `outputs/signals`, in the form of `trustmia audit --signals`.

    The target is model 0; what `predict` has written of it is not asked again. Reference
    models are calibrated as the target is, each on its own training images and the same
    held-out ones.
    """
    params = load_params()
    prepared = read_prepared(paths.DATASET)
    shown = Shown(
        params=params,
        prepared=prepared,
        audited=prepared.images.take(read_audited()),
        validation=prepared.images.take(read_split("target")["validation"]),
        population=prepared.images.take(read_split("shadow")["test"]),
    )
    member = read_assignment(paths.REFERENCES).member
    target = read_target_logits()
    rows = arrange(target.sets, target.labels, target.logits, member)
    with files.atomic_folder(paths.SIGNALS) as fresh:
        write_descriptions(fresh, rows, shown)
        speakers = all_speakers(shown, target.logits[rows.order], member)
        write_logits(fresh, rows, shown, speakers)


def write_descriptions(folder: Path, rows: SignalRows, shown: Shown) -> None:
    """Write what is known of the images without asking a model."""
    np.save(folder / "set.npy", rows.sets)
    np.save(folder / "labels.npy", rows.labels)
    np.save(folder / "member.npy", rows.member)
    np.save(folder / "population_labels.npy", shown.population.labels)


def all_speakers(shown: Shown, known: Float32, member: Bool) -> Iterator[Speaker]:
    """Yield the target, then the reference models, one in memory at a time."""
    dataset = shown.prepared.dataset
    trained = checkpoints.load(paths.CLASSIFIERS / "target" / "model")
    target = classifiers.restore(dataset, trained).to(pick_device())
    yield Speaker(target, calibrated.load(paths.CALIBRATED / "target"), known)
    for number, trained_on in enumerate(member):
        stem = stem_of(paths.REFERENCES, number)
        checkpoint = checkpoints.load(stem)
        require_same_precision(stem, checkpoint.card, trained.card)
        yield calibrated_reference(
            classifiers.restore(dataset, checkpoint), np.flatnonzero(trained_on), shown
        )


def require_same_precision(stem: Path, reference: Card, target: Card) -> None:
    """Refuse to compare models that were trained in different precision.

    Raises:
        UserError: They were, as `train.precision: auto` on different machines may do.
    """
    found, wanted = (card["params"]["train.precision"] for card in (reference, target))
    if found != wanted:
        raise UserError(
            f"{stem}: trained in {found}, but the target in {wanted}; set train.precision to "
            f"{wanted} and run `dvc repro`"
        )


def calibrated_reference(model: Classifier, trained_on: Int64, shown: Shown) -> Speaker:
    """Return a reference model, calibrated as the target is.

    Args:
        model: The model.
        trained_on: int64 [K], the audited images that it was trained on.
        shown: The images.
    """
    model.to(pick_device())
    audited = ask(model, MEMBERS, shown.audited, shown)
    validation = ask(model, MEMBERS, shown.validation, shown)
    train = Prediction(audited.features[trained_on], audited.logits[trained_on])
    calibration = fit_calibration(
        shown.params, shown.prepared.dataset, model, train, validation, shown.validation.labels
    )
    return Speaker(model, calibration, calibration.logits(audited.features, audited.logits).numpy())


def ask(model: Classifier, name: str, images: Images, shown: Shown) -> Prediction:
    """Show an image set to a model."""
    return show(model, shown.prepared.dataset, name, images, shown.params.predict)


def write_logits(folder: Path, rows: SignalRows, shown: Shown, speakers: Iterator[Speaker]) -> None:
    """Write `logits.npy` and `population_logits.npy`, one model after the other."""
    models = len(rows.member)
    logits = allocate(folder / "logits.npy", models, len(rows.sets), shown)
    population = allocate(folder / "population_logits.npy", models, len(shown.population), shown)
    nothing = np.empty((0, logits.shape[-1]), np.float32)
    for number, speaker in enumerate(
        tqdm(speakers, desc="predict references", unit="model", total=models)
    ):
        start = 0
        for name, images in shown.sets():
            stop = start + len(images)
            known = speaker.known[start:stop]
            logits[number, start:stop] = views(speaker, name, images, shown, known)
            start = stop
        population[number] = views(speaker, MEMBERS, shown.population, shown, nothing)
    logits.flush()
    population.flush()


def allocate(path: Path, models: int, images: int, shown: Shown) -> "np.memmap[Any, Any]":
    """Create an array on disk: float32 [M, N, K], or [M, N, A, K] of several views."""
    classes, queries = len(shown.prepared.dataset.classes), len(shown.params.predict.queries)
    per_image = (classes,) if queries == 1 else (queries, classes)
    return np.lib.format.open_memmap(path, "w+", np.float32, (models, images, *per_image))


def views(speaker: Speaker, name: str, images: Images, shown: Shown, known: Float32) -> Float32:
    """Return a model's calibrated logits of an image set: float32 [n, K], or [n, A, K].

    Args:
        speaker: The model.
        name: The image set.
        images: Its images.
        shown: The parameters.
        known: float32 [n, K] of the images as they are, or of none.
    """
    parts = []
    for query in shown.params.predict.queries:
        if query == "plain" and len(known) == len(images):
            parts.append(known)
            continue
        seen = ask(speaker.model, name, Images(QUERIES[query](images.pixels), images.labels), shown)
        parts.append(speaker.calibration.logits(seen.features, seen.logits).numpy())
    return parts[0] if len(parts) == 1 else np.stack(parts, axis=1)


if __name__ == "__main__":
    run_stage(main)
