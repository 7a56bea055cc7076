"""Stage `predict`: every image set through target and shadow, once."""

import numpy as np
from tqdm import tqdm

from trustmia import paths
from trustmia.calibration import files as calibrated
from trustmia.classifiers import inputs as classifiers
from trustmia.image_sets import MEMBERS, pixels_of
from trustmia.images.prepared import Prepared, read_prepared
from trustmia.params import Params, load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.compute import pick_device
from trustmia.signals.features import FEATURE_SETS, sample_features, write_features
from trustmia.signals.scores import ScoreSet, write_scores
from trustmia.stages._image_sets import image_sets, set_names


def main() -> None:
    """Write `outputs/scores/{target,shadow}.npz` and `outputs/features/target.npz`."""
    params = load_params()
    prepared = read_prepared(paths.DATASET)
    for role in ("target", "shadow"):
        predict(params, prepared, role)


def predict(params: Params, prepared: Prepared, role: str) -> None:
    """Show a model all that it is shown; write its scores, and the target's features."""
    dataset = prepared.dataset
    model = classifiers.restore(dataset, checkpoints.load(paths.CLASSIFIERS / role / "model"))
    calibration = calibrated.load(paths.CALIBRATED / role)
    model.to(pick_device())
    names = set_names(params, role)
    labels, scores, logits, features = [], [], [], []
    sets = image_sets(params, prepared.images, role)
    for name, images in tqdm(sets, desc=f"predict {role}", unit="set", total=len(names)):
        labels.append(images.labels)
        seen = classifiers.show(model, dataset, images, params.predict, *pixels_of(name))
        scores.append(calibration.scores(seen.features, seen.logits).numpy())
        logits.append(calibration.logits(seen.features, seen.logits).numpy())
        if role == "target" and name in FEATURE_SETS:
            limit = params.predict.feature_images
            sample = sample_features(name, seen.features.numpy(), images.labels, limit, params.seed)
            features.append(sample)
    codes = np.repeat(np.arange(len(names), dtype=np.int32), [len(part) for part in labels])
    score_set = ScoreSet(
        scores=np.concatenate(scores),
        labels=np.concatenate(labels),
        member=codes == names.index(MEMBERS),
        set_names=tuple(names),
        set_codes=codes,
        logits=np.concatenate(logits),
    )
    write_scores(paths.SCORES / f"{role}.npz", score_set)
    if features:
        write_features(paths.FEATURES / "target.npz", features)
