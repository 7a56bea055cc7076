"""Stage `predict@{target,shadow}`: every image set through the model, once."""

import numpy as np
from tqdm import tqdm

from trustmia import paths
from trustmia.calibration import files as calibrated
from trustmia.classifiers import inputs as classifiers
from trustmia.image_sets import MEMBERS, pixels_of
from trustmia.images.prepared import read_prepared
from trustmia.params import load_params
from trustmia.runtime import checkpoints
from trustmia.runtime.compute import pick_device
from trustmia.signals.features import FEATURE_SETS, sample_features, write_features
from trustmia.signals.scores import ScoreSet, write_scores
from trustmia.stages._image_sets import image_sets
from trustmia.stages._inference import show


def main(role: str) -> None:
    """Write `outputs/scores/{role}.npz` and `outputs/features/{role}.npz`."""
    params = load_params()
    prepared = read_prepared(paths.DATASET)
    dataset = prepared.dataset
    model = classifiers.restore(dataset, checkpoints.load(paths.CLASSIFIERS / role / "model"))
    calibration = calibrated.load(paths.CALIBRATED / role)
    model.to(pick_device())
    names, labels, scores, logits, features = [], [], [], [], []
    sets = image_sets(params, prepared.images, role)
    total = 1 + (len(params.predict.nonmember_sets) if role == "target" else 1)
    for name, images in tqdm(sets, desc=f"predict {role}", unit="set", total=total):
        names.append(name)
        labels.append(images.labels)
        seen = show(model, dataset, images, params.predict, *pixels_of(name))
        scores.append(calibration.scores(seen.features, seen.logits).numpy())
        logits.append(calibration.logits(seen.features, seen.logits).numpy())
        if name in FEATURE_SETS:
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
    write_features(paths.FEATURES / f"{role}.npz", features)
