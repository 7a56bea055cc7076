"""Stage `gallery`: non-members that all attacks with a learned decision call members."""

from typing import Any

import pyarrow as pa
from pyarrow import parquet

from trustmia import files, paths
from trustmia.errors import UserError
from trustmia.exhibits.gallery import exhibit, select
from trustmia.image_sets import MEMBERS
from trustmia.images.prepared import read_prepared
from trustmia.params import load_params
from trustmia.signals.decisions import read_decisions, unanimous
from trustmia.signals.scores import read_scores
from trustmia.stages._image_sets import image_sets

SCHEMA = pa.schema(
    {
        "set": pa.string(),
        "rank": pa.int64(),
        "score": pa.float64(),
        "predicted": pa.string(),
        "true": pa.string(),
        "png": pa.binary(),
    }
)


def main() -> None:
    """Write `outputs/gallery/gallery.parquet`."""
    params = load_params()
    scores_path = paths.SCORES / "target.npz"
    target = read_scores(scores_path, needs_sets=True)
    decisions = read_decisions(paths.DECISIONS, len(target.labels))
    chosen = select(target, unanimous(decisions))
    prepared = read_prepared(paths.DATASET)
    exhibits: list[dict[str, Any]] = []
    for name, images in image_sets(params, prepared.images, "target"):
        if name == MEMBERS:
            continue
        try:
            exhibits += exhibit(name, chosen[name], target, images, prepared.dataset.classes)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{scores_path}: not of the images of set {name}; run `dvc repro predict`"
            ) from error
    table = pa.Table.from_pylist(exhibits, schema=SCHEMA)
    with files.atomic_file(paths.GALLERY / "gallery.parquet") as temporary:
        parquet.write_table(table, temporary)
