"""`trustmia export-models`: a finished run's models as the pretrained ones of `models/`.

`train.source`, `generator.source` and `judge.source` take a checkpoint of `models/` only if its
card names the same parameters and the same SHA-256 of its training images. Git keeps every
version of `dvc-remote/`: export, then `make publish`, once per finished piece of work.
"""

import argparse
import datetime
import re
from pathlib import Path

from trustmia import files, paths
from trustmia.errors import UserError
from trustmia.freshness import require_current
from trustmia.measures.table import read_metrics
from trustmia.runtime import checkpoints
from trustmia.runtime.checkpoints import Card, Checkpoint
from trustmia.splits.stratified import ROLES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("name", metavar="NAME", help="name of the classifier pair, e.g. standard")


def run(options: argparse.Namespace) -> None:
    """Export the models and print where they are."""
    for place in export_models(options.name):
        print(place)


def export_models(name: str) -> list[Path]:
    """Copy classifiers, GAN and judge of `outputs/` to `models/`.

    Cards get the date, the SHA-256 of the weights and, for the generator, the quality
    that was measured.

    Args:
        name: Name of the pair of classifiers, lower-case letters, digits and underscores.

    Returns:
        The weights' paths.

    Raises:
        UserError: The name is not allowed, a checkpoint is missing, or the quality is that of
            another generator.
    """
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise UserError(f"name: got {name!r}; allowed: a to z, 0 to 9 and _")
    # A generator of NVIDIA's is in models/ already, and there may be no judge.
    ours = checkpoints.load_card(paths.GENERATOR / "model")["kind"] == "generator"
    if ours:
        require_current([paths.METRICS / "generator.json"])
    pair = paths.PRETRAINED_CLASSIFIERS / name
    written = [_export(paths.CLASSIFIERS / role / "model", pair / role, {}) for role in ROLES]
    if ours:
        quality = {"metrics": read_metrics("generator")}
        generator = paths.PRETRAINED_GENERATOR / "model"
        written.append(_export(paths.GENERATOR / "model", generator, quality))
    if checkpoints.load_card(paths.JUDGE / "model")["kind"] == "classifier":
        written.append(_export(paths.JUDGE / "model", paths.PRETRAINED_JUDGE / "model", {}))
    return written


def _export(source: Path, stem: Path, extra: Card) -> Path:
    checkpoint = checkpoints.load(source)
    weights, card_path = checkpoints.paths(stem)
    digest = files.sha256(checkpoints.paths(source)[0])
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    card = checkpoint.card | extra | {"date": today, "sha256": digest}
    if not card_path.exists() or _undated(files.read_json(card_path)) != _undated(card):
        checkpoints.save(stem, Checkpoint(checkpoint.tensors, card))
    return weights


def _undated(card: Card) -> Card:
    return {key: value for key, value in card.items() if key != "date"}
