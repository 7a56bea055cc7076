"""Stage `evaluate_generator`: do the fakes pass for real images?"""

import numpy as np

from trustmia import files, paths
from trustmia.classifiers import inputs as classifiers
from trustmia.classifiers.architectures.base import Classifier
from trustmia.classifiers.inference import predict
from trustmia.generators.quality import UNKNOWN, Seen, quality
from trustmia.images.base import Dataset, Images
from trustmia.images.fakes import load_fakes
from trustmia.images.prepared import read_prepared
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Checkpoint
from trustmia.stages._inputs import read_split


def main() -> None:
    """Write `metrics/generator.json`: fakes and real held-out images, judged alike.

    The held-out images are divided in two, even and odd ones. Both the fakes and the
    first half are compared with the second; the judge was trained on none of them. As
    the distance grows when there are fewer images, both sides have the same number.
    Without a judge all numbers are null.
    """
    checkpoint = checkpoints.load(paths.JUDGE / "model")
    if checkpoint.card["kind"] == "none":
        metrics = {"fake": UNKNOWN, "held_out": UNKNOWN}
    else:
        metrics = judged(checkpoint)
    files.write_json(paths.METRICS / "generator.json", metrics)


def judged(checkpoint: Checkpoint) -> dict[str, dict[str, float | None]]:
    """Return what the judge says of fakes and held-out images."""
    prepared = read_prepared(paths.DATASET)
    dataset, images = prepared.dataset, prepared.images
    index = read_split("generator")["holdout"]
    fakes = load_fakes(paths.FAKES)
    count = min(len(index) // 2, len(fakes))
    judge = classifiers.restore(dataset, checkpoint)
    first, second, drawn = (
        look(judge, dataset, shown)
        for shown in (
            images.take(index[0::2][:count]),
            images.take(index[1::2][:count]),
            fakes.take(np.arange(count)),
        )
    )
    return {"fake": quality(drawn, second), "held_out": quality(first, second)}


def look(judge: Classifier, dataset: Dataset, images: Images) -> Seen:
    """Return what the judge sees in images."""
    prediction = predict(judge, classifiers.prepare(dataset, images))
    predicted = prediction.logits.argmax(dim=1).numpy()
    return Seen(prediction.features.numpy(), predicted, images.labels)
