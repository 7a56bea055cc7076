"""Stage `predict@{target,shadow}`: every image set through the model, once."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from trustmia import calibrated, checkpoints, classifiers, entry, layout
from trustmia.arrays import Float32, Int64
from trustmia.calibration import Calibration
from trustmia.compute import pick_device
from trustmia.generators.fakes import load_fakes
from trustmia.images.base import Dataset, Images
from trustmia.images.image_sets import DERIVED_SETS, ImageSetInputs
from trustmia.images.prepared import read_images, read_prepared
from trustmia.models import Classifier
from trustmia.params import Params, load_params
from trustmia.prediction import predict
from trustmia.score_files import MEMBERS, ScoreSet, write_scores
from trustmia.stages.inputs import read_role, read_split


def main() -> None:
    """Write `outputs/scores/{role}.npz`."""
    role = read_role(__doc__)
    params = load_params()
    prepared = read_prepared(layout.DATASET)
    dataset = prepared.dataset
    model = classifiers.restore(dataset, checkpoints.load(layout.CLASSIFIERS / role / "model"))
    calibration = calibrated.load(layout.CALIBRATED / role, getattr(model, model.head_name))
    model.to(pick_device())
    names, labels, scores = [], [], []
    sets = image_sets(params, prepared.images, role)
    total = 1 + (len(params.predict.nonmember_sets) if role == "target" else 1)
    for name, images in tqdm(sets, desc=f"predict {role}", unit="set", total=total):
        names.append(name)
        labels.append(images.labels)
        scores.append(show(model, calibration, dataset, name, images, params))
    write_scores(layout.SCORES / f"{role}.npz", collect(names, labels, scores))


def image_sets(params: Params, images: Images, role: str) -> Iterator[tuple[str, Images]]:
    """Yield the members, then what is shown beside them.

    The shadow, on which attacks are fitted, is shown its held-out images alone.
    """
    index = read_split(role)
    yield MEMBERS, images.take(index["members"])
    inputs = ImageSetInputs(
        non_members=images.take(index["non_members"]),
        fakes=lambda: load_fakes(layout.FAKES),
        max_fakes=params.predict.max_fakes,
        seed=params.seed,
    )
    for name in params.predict.nonmember_sets if role == "target" else ["original"]:
        if name in DERIVED_SETS:
            yield name, DERIVED_SETS[name](inputs)
        else:
            yield name, read_images(layout.IMAGE_SETS / name)


def show(
    model: Classifier,
    calibration: Calibration,
    dataset: Dataset,
    name: str,
    images: Images,
    params: Params,
) -> Float32:
    """Return the calibrated prediction scores of an image set, float32 [N, K]."""
    inputs = classifiers.prepare(dataset, images, name)
    settings = params.predict
    seen = predict(model, inputs, settings.batch_size, settings.precision)
    scores: Float32 = calibration.scores(seen.features, seen.logits).numpy()
    return scores


def collect(
    names: list[str],
    labels: list[Int64],
    scores: list[Float32],
) -> ScoreSet:
    """Put the image sets one after the other; the first one is the members."""
    codes = np.repeat(np.arange(len(names), dtype=np.int32), [len(part) for part in labels])
    return ScoreSet(
        scores=np.concatenate(scores),
        labels=np.concatenate(labels),
        member=codes == 0,
        set_names=tuple(names),
        set_codes=codes,
    )


if __name__ == "__main__":
    entry.run("predict", main)
