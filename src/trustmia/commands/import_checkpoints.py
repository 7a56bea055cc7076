"""`trustmia import-checkpoints`: the paper's published checkpoints as this project's."""

import argparse
from pathlib import Path

from trustmia import paths
from trustmia.paper.checkpoints import import_checkpoints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("archive", type=Path, metavar="ZIP", help="e.g. pretrained_models.zip")


def run(options: argparse.Namespace) -> None:
    """Import them and print where they are."""
    for place in import_checkpoints(options.archive, paths.PRETRAINED_CLASSIFIERS):
        print(place)
    print("train.source=pretrained uses them. To version them: `dvc add models`, `dvc push`")
