"""`trustmia fetch`: published data sets and weights, verified, into data/ and models/."""

from collections.abc import Sequence

from trustmia import paths
from trustmia.datasets import DATASETS
from trustmia.datasets.base import fetch as fetch_dataset
from trustmia.datasets.fetching import FetchRequest, check_given
from trustmia.datasets.weights import PRETRAINED
from trustmia.errors import UserError
from trustmia.image_sets import IMAGE_SETS
from trustmia.params import Params

NAMES = (*DATASETS, *PRETRAINED)


def needed(params: Params) -> list[str]:
    """Return the names of all that a configuration needs and is published.

    A file of weights that is none of the published ones is the user's own.
    """
    names = [params.dataset.name]
    shown = (IMAGE_SETS[name].dataset for name in params.predict.nonmember_sets)
    names += [name for name in shown if name]
    weights = {params.train.initial_weights} if params.train.source == "scratch" else set()
    if params.generator.source == "stylegan2_ada":
        weights.add(params.generator.stylegan2_ada_pickle)
    names += [name for name, file in PRETRAINED.items() if file.archive.filename in weights]
    return list(dict.fromkeys(names))


def archive_names(name: str) -> list[str]:
    """Return the names of the files that a data set or weights are published as."""
    if name in PRETRAINED:
        return [PRETRAINED[name].archive.filename]
    return [archive.filename for archive in DATASETS[name].archives]


def fetch(names: Sequence[str], request: FetchRequest) -> None:
    """Get data sets and weights one after the other, and say where each came from.

    Raises:
        UserError: A name is unknown or a given archive of no use (nothing is fetched), or
            see `fetch_archives`.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UserError(f"fetch: {unknown[0]!r} is unknown; allowed: {', '.join(NAMES)}")
    check_given(request.archives, [file for name in names for file in archive_names(name)])
    for name in names:
        if name in DATASETS:
            place, source = paths.DATA, fetch_dataset(DATASETS[name], paths.DATA, request)
        else:
            place, source = paths.MODELS, PRETRAINED[name].fetch(request)
        print(f"{name}: verified, from {source}. To version it: `dvc add {place}`, `dvc push`")
