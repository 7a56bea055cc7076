"""`trustmia fetch`: published data sets and weights, verified, into data/ and models/."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trustmia import paths
from trustmia.datasets import DATASETS
from trustmia.datasets.fetching import FetchRequest, check_given
from trustmia.datasets.weights import PRETRAINED
from trustmia.errors import UserError
from trustmia.params import Params, load_params

NAMES = (*DATASETS, *PRETRAINED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="e.g. cifar10 stl10")
    parser.add_argument("--all", action="store_true", help="all that params.yaml needs")
    parser.add_argument(
        "--mirror", metavar="URL", help="where files have their published names, e.g. a server"
    )
    parser.add_argument(
        "--archive",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="file already downloaded, or a folder of them; may be repeated",
    )


def run(options: argparse.Namespace) -> None:
    """Fetch what the command line names."""
    if bool(options.names) == options.all:
        raise UserError(f"fetch: give --all, or names: {', '.join(NAMES)}")
    names = needed(load_params()) if options.all else options.names
    fetch(names, FetchRequest(paths.DOWNLOADS, options.mirror, tuple(options.archive)))


def needed(params: Params) -> list[str]:
    """Return the names of all that a configuration needs and is published.

    A file of weights that is none of the published ones is the user's own.
    """
    names = [params.dataset.name, *params.image_sets.datasets()]
    weights = {params.train.initial_weights} if params.train.source == "scratch" else set()
    if params.generator.source == "stylegan2_ada":
        weights.add(params.generator.stylegan2_ada_pickle)
    names += [name for name, file in PRETRAINED.items() if file.archive.filename in weights]
    return list(dict.fromkeys(names))


def fetch(names: Sequence[str], request: FetchRequest) -> None:
    """Get data sets and weights one after the other, and say where each came from.

    Raises:
        UserError: A name is unknown or a given archive of no use (nothing is fetched), or
            see `fetch_archives`.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UserError(f"fetch: {unknown[0]!r} is unknown; allowed: {', '.join(NAMES)}")
    archives = (
        DATASETS[name].archives if name in DATASETS else [PRETRAINED[name].archive]
        for name in names
    )
    check_given(request.archives, [archive.filename for part in archives for archive in part])
    for name in names:
        if name in DATASETS:
            place, source = paths.DATA, DATASETS[name].fetch(paths.DATA, request)
        else:
            place, source = paths.MODELS, PRETRAINED[name].fetch(request)
        print(f"{name}: verified, from {source}. To version it: `dvc add {place}`, `dvc push`")
