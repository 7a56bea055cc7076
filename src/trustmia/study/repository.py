"""What git and DVC have of experiments, whose commits are git's under refs/exps."""

import contextlib
import functools
import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from trustmia.errors import UserError
from trustmia.freshness import CurrentFiles, Lock
from trustmia.yaml_files import parse_yaml

EXPERIMENT = re.compile(r"^refs/exps/([0-9a-f]{2})/([0-9a-f]{38,})/(\S+) ([0-9a-f]+)$", re.M)


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


class _GitTree:
    """The files that git has at a revision: a `freshness.Tree`."""

    def __init__(self, revision: str, read: Callable[[str], bytes], md5: Callable[[str], str]):
        self._read, self._md5 = read, md5
        listed = [entry.split("\t", 1) for entry in _git("ls-tree", "-rz", revision).split("\0")]
        self._blobs = {rest[0]: described.split()[2] for described, *rest in listed if rest}

    def read(self, path: str) -> bytes:
        return self._read(self._blob(path))

    def files(self, path: str) -> list[str]:
        return [name for name in self._blobs if name == path or name.startswith(f"{path}/")]

    def md5(self, path: str) -> str:
        return self._md5(self._blob(path))

    def _blob(self, path: str) -> str:
        if path not in self._blobs:
            raise FileNotFoundError(path)
        return self._blobs[path]


class ExperimentRepository:
    """A DVC repository whose experiments are read; `open_repository` opens it.

    Args:
        stdin: Takes names of git's objects, a line each.
        stdout: Gives what `git cat-file --batch` answers.
    """

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]):
        def read(blob: str) -> bytes:
            stdin.write(f"{blob}\n".encode())
            stdin.flush()
            size = int(stdout.readline().split()[-1])
            return stdout.read(size + 1)[:size]

        # By blob: revisions have most of theirs in common.
        @functools.cache
        def md5(blob: str) -> str:
            return hashlib.md5(read(blob), usedforsecurity=False).hexdigest()

        self._tree = functools.cache(functools.partial(_GitTree, read=read, md5=md5))

    def head(self) -> str:
        """Return the revision of the current commit."""
        return _git("rev-parse", "HEAD").strip()

    def finished(self, baseline: str | None) -> list[Finished]:
        """Return the experiments of a commit, or (None) of all commits, by their names."""
        # `dvc exp list` would wait for everyone who has locked the repository.
        listed = _git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
        found = EXPERIMENT.findall(listed)
        experiments = [Finished(name, rev, start + rest) for start, rest, name, rev in found]
        chosen = [each for each in experiments if baseline in (None, each.baseline)]
        return sorted(chosen, key=lambda experiment: experiment.name)

    def date(self, revision: str) -> str:
        """Return when a revision was made, in ISO 8601, UTC."""
        seconds = int(_git("show", "--no-patch", "--format=%ct", revision))
        return datetime.fromtimestamp(seconds, UTC).isoformat()

    def files_at(self, revision: str) -> CurrentFiles:
        """Return what reads a revision's files, if they are current there.

        It reads what git has, and of what stages wrote also what DVC has, in its cache or a
        remote.
        """
        tree = self._tree(revision)
        lock = Lock(tree)

        @functools.cache
        def tracked() -> Any:
            from dvc.api import DVCFileSystem

            # By position: its name has changed within version 3.
            return DVCFileSystem(".", rev=revision)

        def read(path: str) -> bytes:
            with contextlib.suppress(FileNotFoundError):
                return tree.read(path)
            if not lock.names(path):
                raise FileNotFoundError(path)
            try:
                return bytes(tracked().read_bytes(path))
            except FileNotFoundError:
                raise
            except Exception as error:  # DVC's, or those of a remote's own library
                raise UserError(f"{path} of {revision[:7]}: DVC: {error}") from error

        return CurrentFiles(lock, read)

    def params(self, revision: str) -> dict[str, Any]:
        """Return the content of `params.yaml` at a revision; empty if there is none."""
        try:
            content = parse_yaml(self._tree(revision).read("params.yaml"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _git(*arguments: str) -> str:
    """Return what git prints.

    Raises:
        UserError: It refuses, or is not there.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True)
    except FileNotFoundError as error:
        raise UserError("git: not found; experiments need it, install it") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise UserError(f"`git {arguments[0]}`: {reason}") from error
    return done.stdout.decode(errors="surrogateescape")


@contextlib.contextmanager
def open_repository() -> Iterator[ExperimentRepository]:
    """Open the DVC repository of the current folder.

    Raises:
        UserError: There is none, or it is not in git or has no commit.
    """
    if not Path(".dvc").is_dir():
        raise UserError(
            f"{Path.cwd()}: not the root of a DVC repository; run in a clone of the project"
        )
    for question, message in {
        "--git-dir": "experiments need a git repository, as `git clone` makes it",
        "HEAD^{commit}": "experiments start from a commit; make one with `git commit`",
    }.items():
        try:
            _git("rev-parse", question)
        except UserError as error:
            raise UserError(f"{message} ({error})") from error
    command = ["git", "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        yield ExperimentRepository(process.stdin, process.stdout)
