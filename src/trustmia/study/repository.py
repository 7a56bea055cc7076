"""What DVC knows about experiments, through its Python API; nothing is changed here."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from trustmia.errors import UserError
from trustmia.freshness import CurrentFiles, Lock
from trustmia.yaml_files import parse_yaml

TRIES = 5
PAUSE = 0.2

State = Literal["queued", "running", "failed"]


@dataclass(frozen=True)
class Finished:
    """An experiment that ran to its end.

    Attributes:
        name: Its name.
        revision: Git revision that holds its files.
        baseline: Git revision of the commit that it was run on.
    """

    name: str
    revision: str
    baseline: str


@dataclass(frozen=True)
class Task:
    """An experiment in DVC's queue that has not succeeded.

    Attributes:
        name: Name of the experiment.
        revision: What DVC calls the task.
        baseline: Git revision of the commit that it runs on.
        state: What became of it so far.
        log: File that its output goes to, once it runs.
        alive: Whether a process of it runs.
    """

    name: str
    revision: str
    baseline: str
    state: State
    log: Path | None
    alive: bool


class _GitTree:
    """The files that git has at a revision: a `freshness.Tree`."""

    def __init__(self, tree: Any, md5s: dict[str, str]):
        self._tree = tree
        self._md5s = md5s

    def read(self, path: str) -> bytes:
        return bytes(self._tree.cat_file(path))

    def files(self, path: str) -> list[str]:
        paths: list[str] = self._tree.find(path)
        return paths

    def md5(self, path: str) -> str:
        blob = self._tree.info(path)["sha"]
        if blob not in self._md5s:
            content = self.read(path)
            self._md5s[blob] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return self._md5s[blob]


class ExperimentRepository:
    """A DVC repository whose experiments are read; `open_repository` opens it."""

    def __init__(self, repo: Any):
        self._repo = repo
        # By blob: revisions have most of theirs in common.
        self._md5s: dict[str, str] = {}

    def head(self) -> str:
        """Return the revision of the current commit."""
        revision: str = self._repo.scm.get_rev()
        return revision

    def finished(self, baseline: str | None) -> list[Finished]:
        """Return the experiments of a commit, or (None) of all commits, by their names."""
        from dvc.repo.experiments.utils import exp_refs

        scm = self._repo.scm
        # `Repo.experiments.ls` would wait for everyone who has locked the repository.
        references = [r for r in exp_refs(scm) if baseline in (None, r.baseline_sha)]
        experiments = [Finished(r.name, scm.get_ref(str(r)), r.baseline_sha) for r in references]
        return sorted(experiments, key=lambda experiment: experiment.name)

    def tasks(self) -> list[Task]:
        """Return what failed, what runs, and what waits, the latter in its order."""
        # Workers move and rewrite the files that this reads.
        for _ in range(TRIES):
            with contextlib.suppress(OSError, ValueError, KeyError):
                return self._read_tasks()
            time.sleep(PAUSE)
        return self._read_tasks()

    def _read_tasks(self) -> list[Task]:
        queue = self._repo.experiments.celery_queue
        waiting = [self._task(entry, "queued") for entry in queue.iter_queued()]
        running = [self._task(entry, "running") for entry in queue.iter_active()]
        failed = [self._task(done.entry, "failed") for done in queue.iter_failed()]
        return [*failed, *running, *waiting]

    def _task(self, entry: Any, state: State) -> Task:
        process = self._repo.experiments.celery_queue.proc.get(entry.stash_rev)
        log = Path(process.stdout) if process else None
        alive = process is not None and process.returncode is None and _runs(process.pid)
        return Task(entry.name or "", entry.stash_rev, entry.baseline_rev, state, log, alive)

    def has_workers(self) -> bool:
        """Return whether workers of the queue are there; asking them takes a second."""
        return bool(self._repo.experiments.celery_queue.worker_status())

    def date(self, revision: str) -> str:
        """Return when a revision was made, in ISO 8601, UTC."""
        seconds = self._repo.scm.resolve_commit(revision).commit_time
        return datetime.fromtimestamp(seconds, UTC).isoformat()

    def _tree_at(self, revision: str) -> _GitTree:
        return _GitTree(self._repo.scm.get_fs(revision), self._md5s)

    def current_files(self, revision: str) -> CurrentFiles:
        """Return what reads files that git has at a revision, if they are current there."""
        tree = self._tree_at(revision)
        return CurrentFiles(Lock(tree), tree.read)

    @contextlib.contextmanager
    def switched(self, revision: str) -> Iterator[CurrentFiles]:
        """Yield such a reader that also reads what DVC has, from cache or remote."""
        from dvc.exceptions import DvcException

        tree = self._tree_at(revision)

        def read(path: str) -> bytes:
            try:
                return tree.read(path)
            except FileNotFoundError:
                pass
            try:
                return bytes(self._repo.dvcfs.cat_file(f"/{path}"))
            except DvcException as error:
                raise FileNotFoundError(path) from error

        with self._repo.switch(revision):
            yield CurrentFiles(Lock(tree), read)

    def params(self, revision: str) -> dict[str, Any]:
        """Return the content of `params.yaml` at a revision; empty if there is none."""
        try:
            content = parse_yaml(self._tree_at(revision).read("params.yaml"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def open_repository(root: Path = Path()) -> Iterator[ExperimentRepository]:
    """Open the DVC repository of a folder.

    Raises:
        UserError: There is none, or it is not in git or has no commit.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import NoSCMError
    from scmrepo.exceptions import SCMError

    try:
        repo = Repo(str(root))
    except NotDvcRepoError as error:
        raise UserError(
            f"{root.absolute()}: not the root of a DVC repository; run in a clone of the project"
        ) from error
    with repo:
        try:
            yield ExperimentRepository(repo)
        except NoSCMError as error:
            raise UserError("experiments need a git repository, as `git clone` makes it") from error
        except SCMError as error:
            raise UserError(
                "experiments start from a commit; make one with `git commit`"
            ) from error
        except DvcException as error:
            raise UserError(f"DVC: {error}") from error
