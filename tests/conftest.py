"""Repositories that several tests share, because they take long to make."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import SMALL, clone_working_tree, git, run, set_params, without_study


@pytest.fixture(scope="session")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone after `dvc pull`; tests leave it as it is."""
    place = clone_working_tree(tmp_path_factory.mktemp("pulled") / "trustmia")
    run(place, "dvc", "pull")
    return place


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a clone whose committed experiment is a small one, and has run."""
    place = clone_working_tree(tmp_path_factory.mktemp("small") / "trustmia")
    run(place, "dvc", "pull", "data.dvc", "models.dvc")
    without_study(place)
    set_params(place, dict(SMALL))
    run(place, "dvc", "repro")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", "A small experiment")
    yield place
    run(place, "dvc", "queue", "stop", "--kill")
