"""Repositories that several tests share, and how tests are shared among processes."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import SMALL, clone_working_tree, git, run, set_params, without_study

# What takes minutes is shared by the tests of one process, which begins with the longest.
SHARED = ("small", "bare", "pulled")
# Then come others that take long, so that none is left for the end.
LONG = ("pipeline", "ray", "browser", "slow")


def pytest_configure(config: pytest.Config) -> None:
    """Let several test processes not wait for each other's threads."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep in one process the tests that share a repository, or else a file."""
    ranks = {}
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = next((name for name in SHARED if name in getattr(item, "fixturenames", ())), file)
        item.add_marker(pytest.mark.xdist_group(group))
        if group in SHARED:
            item.add_marker(pytest.mark.pipeline)
        long = next((n for n, name in enumerate(LONG) if item.get_closest_marker(name)), len(LONG))
        ranks[item.nodeid] = (group not in SHARED, SHARED.index(group) if group in SHARED else long)
    items.sort(key=lambda item: ranks[item.nodeid])
    elsewhere = [item for item in items if item.get_closest_marker("linux")]
    if elsewhere and sys.platform != "linux":
        items[:] = [item for item in items if item not in elsewhere]
        config.hook.pytest_deselected(items=elsewhere)


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


@pytest.fixture
def restored(small: Path) -> Path:
    """Return the small experiment as it was committed."""
    git(small, "checkout", "--quiet", "--force", "HEAD")
    run(small, "dvc", "checkout", "--force")
    return small
