"""Target and reference models, each calibrated, and the images that they are shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trustmia import paths
from trustmia.arrays import Bool, Float32, Int64
from trustmia.calibration import files as calibrated
from trustmia.calibration.base import Calibration
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inference import Prediction
from trustmia.errors import UserError
from trustmia.image_sets import AUDITED, MEMBERS, pixels_of
from trustmia.images.base import Images
from trustmia.images.prepared import Prepared
from trustmia.params import Params
from trustmia.references.store import stem_of
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Card
from trustmia.runtime.compute import pick_device
from trustmia.stages._calibration import fit_calibration
from trustmia.stages._image_sets import image_sets


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

    def ask(self, model: Classifier, name: str, images: Images) -> Prediction:
        """Show images of a set to a model."""
        return classifiers.show(
            model, self.prepared.dataset, images, self.params.predict, *pixels_of(name)
        )


@dataclass(frozen=True)
class CalibratedModel:
    """A model with its calibration.

    Attributes:
        model: The classifier.
        calibration: What makes calibrated logits of its logits.
        plain: float32 [n, K], its calibrated logits of the first n rows as they are.
    """

    model: Classifier
    calibration: Calibration
    plain: Float32


def calibrated_models(shown: Shown, plain: Float32, member: Bool) -> Iterator[CalibratedModel]:
    """Yield the target, then the reference models, one in memory at a time.

    Args:
        shown: The images.
        plain: float32 [N, K], the target's calibrated logits of all rows.
        member: bool [M, P], which audited images each reference model was trained on.
    """
    dataset = shown.prepared.dataset
    trained = checkpoints.load(paths.CLASSIFIERS / "target" / "model")
    target = classifiers.restore(dataset, trained).to(pick_device())
    yield CalibratedModel(target, calibrated.load(paths.CALIBRATED / "target"), plain)
    for number, trained_on in enumerate(member):
        stem = stem_of(paths.REFERENCES, number)
        checkpoint = checkpoints.load(stem)
        require_same_precision(stem, checkpoint.card, trained.card)
        model = classifiers.restore(dataset, checkpoint).to(pick_device())
        yield calibrated_reference(model, np.flatnonzero(trained_on), shown)


def require_same_precision(stem: Path, reference: Card, target: Card) -> None:
    """Refuse to compare models that were trained in different precision.

    Raises:
        UserError: They were, as `train.precision: auto` on different machines may do.
    """
    own, targets = (card["params"]["train.precision"] for card in (reference, target))
    if own != targets:
        raise UserError(
            f"{stem}: trained in {own}, but the target in {targets}; set train.precision to "
            f"{targets} and run `dvc repro`"
        )


def calibrated_reference(model: Classifier, trained_on: Int64, shown: Shown) -> CalibratedModel:
    """Return a reference model, calibrated as the target is.

    Args:
        model: The model.
        trained_on: int64 [K], the audited images that it was trained on.
        shown: The images.
    """
    audited = shown.ask(model, MEMBERS, shown.audited)
    validation = shown.ask(model, MEMBERS, shown.validation)
    train = Prediction(audited.features[trained_on], audited.logits[trained_on])
    calibration = fit_calibration(
        shown.params, shown.prepared.dataset, model, train, validation, shown.validation.labels
    )
    plain = calibration.logits(audited.features, audited.logits).numpy()
    return CalibratedModel(model, calibration, plain)
