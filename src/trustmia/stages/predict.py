"""Stage `predict@{target,shadow}`: every image set through the model, once."""

import argparse
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from trustmia import calibrated, checkpoints, classifiers, entry, files, layout
from trustmia.calibration import Calibration
from trustmia.compute import pick_device
from trustmia.datasets import DATASETS, Dataset, Images
from trustmia.datasets.image_sets import IMAGE_SETS, ImageSetInputs
from trustmia.datasets.splits import ROLES
from trustmia.generators.sampling import load_fakes
from trustmia.models import Classifier
from trustmia.params import Params, load_params
from trustmia.prediction import predict
from trustmia.score_files import MEMBERS, ScoreSet, write_scores


def main() -> None:
    """Write `outputs/scores/{role}.npz`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=ROLES)
    role: str = parser.parse_args().role
    params = load_params()
    dataset = DATASETS[params.dataset.name]
    model = classifiers.restore(dataset, checkpoints.load(layout.CLASSIFIERS / role / "model"))
    calibration = calibrated.load(layout.CALIBRATED / role, getattr(model, model.head_name))
    model.to(pick_device())
    names, labels, scores = [], [], []
    sets = image_sets(params, dataset, role)
    total = 1 + (len(params.predict.nonmember_sets) if role == "target" else 1)
    for name, images in tqdm(sets, desc=f"predict {role}", unit="set", total=total):
        names.append(name)
        labels.append(images.labels)
        scores.append(show(model, calibration, dataset, name, images, params))
    write_scores(layout.SCORES / f"{role}.npz", collect(names, labels, scores))


def image_sets(params: Params, dataset: Dataset, role: str) -> Iterator[tuple[str, Images]]:
    """Yield the members, then what is shown beside them.

    The shadow, on which attacks are fitted, is shown its held-out images alone.
    """
    images = dataset.load(layout.DATA)
    index = files.read_arrays(layout.SPLIT / f"{role}.npz")
    yield MEMBERS, images.take(index["members"])
    inputs = ImageSetInputs(
        dataset=dataset,
        non_members=images.take(index["non_members"]),
        fakes=lambda: load_fakes(layout.FAKES),
        num_patches=params.predict.num_patches,
        seed=params.seed,
    )
    for name in params.predict.nonmember_sets if role == "target" else ["original"]:
        yield name, IMAGE_SETS[name](inputs)


def show(
    model: Classifier,
    calibration: Calibration,
    dataset: Dataset,
    name: str,
    images: Images,
    params: Params,
) -> npt.NDArray[np.float32]:
    """Return the calibrated prediction scores of an image set, float32 [N, K]."""
    inputs = classifiers.prepare(dataset, images, name)
    settings = params.predict
    seen = predict(model, inputs, settings.batch_size, settings.precision)
    scores: npt.NDArray[np.float32] = calibration.scores(seen.features, seen.logits).numpy()
    return scores


def collect(
    names: list[str],
    labels: list[npt.NDArray[np.int64]],
    scores: list[npt.NDArray[np.float32]],
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
