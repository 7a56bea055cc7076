"""Which files are current: results of the present parameters, code and data, by dvc.lock.

DVC notes in dvc.lock what every stage read and wrote when it last ran. A stage that was left
out since, as by `dvc exp run STAGE`, leaves its files as they were, and nothing in them says so.
A stage is current if its command, parameters and code are as dvc.lock noted, what it read of
other stages is what these wrote, and these are current, too. Data count by the MD5 in their
`.dvc` file, a folder in them (`models/initial`) by DVC's list of that folder's files, in the
cache or the embedded remote; where the list is not at hand, as unchanged. So of data and outputs
only the file that is asked for is read, and only what was `dvc add`ed counts.

Everything that shows a number asks here, for the working tree or for an experiment's revision:
`results` and `report` show what there is with a remark, `compare` and `study` leave it out and
name it, `compare-paper` and `results --update` refuse.

`dvc status` answers for the working tree alone, not for the revisions of experiments, and takes
ten times as long, as it looks at all outputs.
"""

import functools
import hashlib
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import yaml
from pathspec import GitIgnoreSpec

from trustmia import files
from trustmia.errors import UserError
from trustmia.yaml_files import parse_yaml, read_yaml

Read = Callable[[str], bytes]
Entry = dict[str, Any]

# Where there may be lists of what is in folders that DVC tracks: its cache, and the remote.
LISTS = (Path(".dvc/cache/files/md5"), Path("dvc-remote/files/md5"))
# What DVC writes of these kinds, in the order in which they are tried.
SCALARS = {
    "bool": "true|false",
    "int": "-?[0-9]+",
    "float": r"-?[0-9]+\.?[0-9]*(e[-+]?[0-9]+)?|-?\.inf|\.nan",
}
MOST_REASONS = 5
MISSING = object()
NEVER = "the stage did not depend on it"


class Tree(Protocol):
    """Files by their paths from the root of the repository."""

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise FileNotFoundError."""

    def files(self, path: str) -> list[str]:
        """Return the paths of all files in a folder, or that of the file itself."""

    def md5(self, path: str) -> str:
        """Return the MD5 of a file in hexadecimal."""


class _WorkingTree:
    """The files of the current folder."""

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def files(self, path: str) -> list[str]:
        place = Path(path)
        below = [place] if place.is_file() else place.rglob("*")
        return [file.as_posix() for file in below if file.is_file()]

    def md5(self, path: str) -> str:
        return files.md5(Path(path))


@dataclass(frozen=True)
class Outdated:
    """Why something is no result of the present parameters, code and data.

    Attributes:
        reasons: What has changed, in words.
        stages: Stages that have not run since, each behind those that it needs.
    """

    reasons: tuple[str, ...]
    stages: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.reasons) - MOST_REASONS
        rest = [f"{more} more"] if more > 0 else []
        reasons = ", ".join([*self.reasons[:MOST_REASONS], *rest])
        return f"{reasons}; not run since: {', '.join(self.stages)}" if self.stages else reasons


def _joined(parts: Iterable[Outdated]) -> Outdated:
    parts = list(parts)
    reasons = dict.fromkeys(reason for part in parts for reason in part.reasons)
    stages = dict.fromkeys(stage for part in parts for stage in part.stages)
    return Outdated(tuple(reasons), tuple(stages))


class Lock:
    """A tree's dvc.lock against its dvc.yaml, parameters, code and `.dvc` files.

    Without a tree it is that of the current folder. Nothing that a stage reads of another one is
    looked at: dvc.lock says whether that is what the other one wrote. Neither is data that DVC
    tracks: its `.dvc` file says what it is.
    """

    def __init__(self, tree: Tree | None = None):
        self._tree = tree or _WorkingTree()
        declared = self._stages("dvc.yaml", _parse)
        self._declared: dict[str, Entry] = {n: s.get("do", s) for n, s in declared.items()}
        several = {name for name, stage in declared.items() if {"do", "matrix"} & stage.keys()}
        # DVC leaves in dvc.lock what dvc.yaml no longer has, also of a stage that was several.
        self._stages_run = {
            name: stage
            for name, stage in self._stages("dvc.lock", parse_lock).items()
            if name.partition("@")[0] in (several if "@" in name else self._declared)
        }
        self._outs: dict[str, tuple[str, Entry]] = {
            out["path"]: (name, out)
            for name, stage in self._stages_run.items()
            for out in stage.get("outs", [])
        }
        ignored = self._content(".dvcignore", bytes.decode) or ""
        self._ignored = GitIgnoreSpec.from_lines(ignored.splitlines())
        # Stages have most of what they depend on in common.
        self._outs_at = functools.cache(self._find_outs)
        self._present_md5 = functools.cache(self._find_present_md5)
        self._judgement = functools.cache(self._find_judgement)
        self._yaml = functools.cache(functools.partial(self._content, parse=_parse))

    def outdated(self, path: str) -> Outdated | None:
        """Say why a file is no result of the present parameters, code and data.

        Args:
            path: A file that a stage wrote, or one in a folder that it wrote.

        Returns:
            None if it is one.
        """
        place = next((name for name in _upwards(path) if name in self._outs), None)
        if place is None:
            return Outdated(("dvc.lock does not name it",), tuple(self._declaring_stages(path)))
        stage, out = self._outs[place]
        judgement = self._judgement(stage)
        if judgement.stages:
            return judgement
        if "md5" in out and self._tree.files(place) and self._md5(place) != out["md5"]:
            return Outdated((f"dvc.lock names another {place}",), (stage,))
        return None

    def inputs(self, paths: Iterable[str]) -> dict[str, str | None]:
        """Return the MD5s of the present code and data that files would come from.

        Args:
            paths: Files that stages wrote, or files in folders that they wrote.

        Returns:
            Path → MD5; None where nothing tells it.
        """
        places = [place for path in paths for place in _upwards(path) if place in self._outs]
        waiting = list(dict.fromkeys(self._outs[place][0] for place in places))
        md5s: dict[str, str | None] = {}
        for stage in waiting:
            waiting += [name for name in self._stages_before(stage) if name not in waiting]
            outside = [path for path in self._dependencies(stage) if not self._outs_at(path)]
            md5s |= {path: self._present_md5(path) for path in outside}
        return md5s

    def names(self, path: str) -> bool:
        """Return whether a path is, or lies in, what a stage wrote."""
        return any(place in self._outs for place in _upwards(path))

    def noted_md5(self, path: str) -> str | None:
        """Return the MD5 that a file had when its stage ended; None if dvc.lock has none."""
        return self._outs[path][1].get("md5") if path in self._outs else None

    def _stages(self, path: str, parse: Callable[[bytes], Any]) -> dict[str, Entry]:
        stages = _value(self._content(path, parse), "stages")
        entries = stages.items() if isinstance(stages, dict) else []
        return {name: stage for name, stage in entries if isinstance(stage, dict)}

    def _content(self, path: str, parse: Callable[[bytes], Any]) -> Any:
        """Return what a file holds; None if it is missing, not readable or no YAML."""
        try:
            return parse(self._tree.read(path))
        except (OSError, ValueError):
            return None

    def _declaring_stages(self, path: str) -> Iterator[str]:
        """Return the stages of dvc.yaml that are to write a file."""
        for name, stage in self._declared.items():
            outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
            paths = [next(iter(out)) if isinstance(out, dict) else out for out in outs]
            if any(_fits(declared, place) for declared in paths for place in _upwards(path)):
                yield name

    def _find_judgement(self, stage: str) -> Outdated:
        """Say why a stage has to run; without stages if it has not."""
        before = _joined(map(self._judgement, self._stages_before(stage)))
        reasons = (*before.reasons, *self._changes(stage))
        return _joined([Outdated(reasons, (*before.stages, stage))] if reasons else [])

    def _declaration(self, stage: str) -> Entry:
        """Return what dvc.yaml has for a stage of dvc.lock, which may be one of several."""
        return self._declared[stage.partition("@")[0]]

    def _dependencies(self, stage: str) -> dict[str, str | None]:
        """Return what a stage depends on, and its MD5 when the stage ran."""
        noted = {dep["path"]: dep.get("md5") for dep in self._stages_run[stage].get("deps", [])}
        declared = self._declaration(stage).get("deps", [])
        return {path: noted.get(path, NEVER) for path in _matching(declared, noted)}

    def _stages_before(self, stage: str) -> list[str]:
        outs = [out for path in self._dependencies(stage) for out in self._outs_at(path)]
        return list(dict.fromkeys(self._outs[out][0] for out in outs))

    def _find_outs(self, path: str) -> list[str]:
        """Return what stages wrote that is a path, holds it or lies in it."""
        return [out for out in self._outs if _share_files(out, path)]

    def _changes(self, stage: str) -> Iterator[str]:
        """Say what a stage depends on that is not as it was when it ran."""
        declared, noted = self._declaration(stage), self._stages_run[stage]
        if not _fits(_command(declared), _command(noted)):
            yield f"the command of {stage} has changed"
        for declared_file, keys in _params_by_file(declared):
            for file in _matching([declared_file], noted.get("params", {})):
                yield from self._changed_params(file, keys, noted.get("params", {}).get(file, {}))
        for path, md5 in self._dependencies(stage).items():
            if None not in (md5, self._present_md5(path)) and md5 != self._present_md5(path):
                yield f"{path} has changed"

    def _changed_params(self, file: str, keys: list[str] | None, noted: Entry) -> Iterator[str]:
        content = self._yaml(file)
        if isinstance(content, dict):
            for key in {**noted, **content} if keys is None else _matching(keys, noted):
                yield from _differences(key, noted.get(key, MISSING), _value(content, key))
        # DVC reads other formats, too.
        elif file.endswith((".yaml", ".yml", ".json")):
            yield f"{file} cannot be read"

    def _find_present_md5(self, path: str) -> str | None:
        """Return the MD5 of what is at a path now; None if nothing tells it."""
        if self._outs_at(path):
            return self._outs[path][1].get("md5") if path in self._outs else None
        for place in _upwards(path):
            tracked = self._yaml(f"{place}.dvc")
            if isinstance(tracked, dict) and tracked.get("outs"):
                return _tracked_md5(tracked["outs"][0], path[len(place) + 1 :])
        elsewhere = path.startswith(("/", "../")) or "://" in path
        holds_data = any(name.endswith(".dvc") for name in self._tree.files(path))
        return None if holds_data or elsewhere else self._md5(path)

    def _md5(self, path: str) -> str:
        """Return what DVC calls the MD5 of a file or a folder."""
        below = self._tree.files(path)
        if below == [path]:
            return self._tree.md5(path)
        kept = [name for name in below if not self._ignored.match_file(name)]
        return _folder_md5({name[len(path) + 1 :]: self._tree.md5(name) for name in kept})


@functools.lru_cache(maxsize=64)
def _parse(content: bytes) -> Any:
    """Parse YAML; revisions have most of these files in common. Nobody changes the result."""
    return parse_yaml(content)


def parse_lock(content: bytes) -> Any:
    """Parse a dvc.lock as `parse_yaml` does, in a tenth of the time: each revision has its own.

    Raises:
        ValueError: It is no YAML.
    """
    try:
        return yaml.load(content, Loader=_lock_loader())
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


@functools.cache
def _lock_loader() -> Any:
    """Return PyYAML's loader with what version 1.2 of YAML calls numbers and truth values."""
    tags = {f"tag:yaml.org,2002:{kind}": form for kind, form in SCALARS.items()}
    kept = {
        first: [(tag, form) for tag, form in forms if tag not in tags]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("Loader", (base,), {"yaml_implicit_resolvers": kept})
    for tag, form in tags.items():
        loader.add_implicit_resolver(tag, re.compile(f"^({form})$"), list("tf-.0123456789"))
    return loader


def _upwards(path: str) -> list[str]:
    """Return a path and all that it lies in."""
    pure = PurePosixPath(path)
    return [str(place) for place in (pure, *pure.parents) if place.name]


def _share_files(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _fits(declared: str, text: str) -> bool:
    """Return whether a text is what dvc.yaml declares, `${…}` being anything."""
    parts = map(re.escape, re.split(r"\$\{[^}]*\}", declared))
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None


def _matching(declared: Iterable[str], noted: Collection[str]) -> Iterator[str]:
    """Return what dvc.yaml declares; where it has `${…}`, what of dvc.lock fits that."""
    for name in declared:
        yield from (n for n in noted if _fits(name, n)) if "${" in name else [name]


def _command(stage: Entry) -> str:
    command = stage.get("cmd", "")
    return "\n".join(command) if isinstance(command, list) else str(command)


def _params_by_file(stage: Entry) -> Iterator[tuple[str, list[str] | None]]:
    """Return the parameters that a stage declares, by file; None for all of a file."""
    for item in stage.get("params", []):
        yield from item.items() if isinstance(item, dict) else [("params.yaml", [item])]


def _value(content: Any, key: str) -> Any:
    for name in key.split("."):
        if not isinstance(content, dict) or name not in content:
            return MISSING
        content = content[name]
    return content


def _differences(key: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _differences(
                f"{key}.{name}", before.get(name, MISSING), after.get(name, MISSING)
            )
    elif before is MISSING or after is MISSING:
        yield f"{key} is {'new' if before is MISSING else 'gone'}"
    elif before != after:
        short = not isinstance(before, list | dict) and not isinstance(after, list | dict)
        yield f"{key} was {before} and is {after}" if short else f"{key} has changed"


def _tracked_md5(tracked: Entry, path: str) -> str | None:
    """Return the MD5 of something in a folder that DVC tracks, or (an empty path) of all of it.

    The `.dvc` file has one for the whole folder alone. What is in it DVC keeps as a list, in
    its cache and in remotes; where that list is not at hand, nothing tells.
    """
    md5 = tracked.get("md5")
    # Before version 3, DVC hashed text without its carriage returns, and did not note how.
    if md5 is None or "hash" not in tracked:
        return None
    if not path:
        return str(md5)
    lists = [place / md5[:2] / md5[2:] for place in LISTS]
    content = next((file.read_bytes() for file in lists if file.is_file()), b"")
    try:
        md5s = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
    except (ValueError, LookupError, TypeError):
        return None
    below = {n[len(path) + 1 :]: md5s[n] for n in md5s if n.startswith(f"{path}/")}
    return md5s.get(path) or _folder_md5(below)


def _folder_md5(below: dict[str, str]) -> str:
    """Return what DVC calls the MD5 of a folder: that of a list of its files."""
    entries = [{"md5": below[name], "relpath": name} for name in sorted(below)]
    text = json.dumps(entries, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


class CurrentFiles:
    """Reads those files of a run that are current; others are as if they were not there.

    Attributes:
        outdated: The files that were asked for and are not current, and why.
    """

    def __init__(self, lock: Lock, read: Read):
        self._lock = lock
        self._read = read
        self._paths: set[str] = set()
        self.outdated: dict[str, Outdated] = {}

    def __call__(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            FileNotFoundError: There is no such file, or it is not current.
        """
        content = self._read(path)
        self._paths.add(path)
        why = self._lock.outdated(path)
        if why is not None:
            self.outdated[path] = why
            raise FileNotFoundError(path)
        return content

    def inputs(self) -> dict[str, str | None]:
        """Return the MD5s of the present code and data that the files come from, by path."""
        return self._lock.inputs(self._paths)

    def not_run(self) -> tuple[str, ...]:
        """Return the stages whose files were asked for and are not current."""
        return tuple(dict.fromkeys((path, *why.stages)[-1] for path, why in self.outdated.items()))


def complaint(paths: Iterable[Path]) -> str | None:
    """Say in one line which files of the working tree are older than what made them.

    Files that are not there are passed over. None if all others are results of the present
    parameters, code and data.
    """
    lock = Lock()
    names = [path.as_posix() for path in paths if path.exists()]
    old = {name: why for name in names if (why := lock.outdated(name)) is not None}
    if not old:
        return None
    return (
        f"{', '.join(old)}: older than the present params.yaml, code or data "
        f"({_joined(old.values())}); run `dvc repro`"
    )


def remark(paths: Iterable[Path]) -> None:
    """Print to standard error which files are older than what made them, if any are."""
    if (message := complaint(paths)) is not None:
        print(f"trustmia: {message}", file=sys.stderr)


def require_tracked(folder: Path) -> None:
    """Refuse a folder that is not as its `.dvc` file has it; one without such a file is passed.

    Raises:
        UserError: It is another one.
    """
    pointer = folder.with_name(f"{folder.name}.dvc")
    if not pointer.is_file():
        return
    tracked = read_yaml(pointer, f"`git restore {pointer}`")
    below = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    md5s = {name: files.md5(file) for name, file in below.items() if file.is_file()}
    if _folder_md5(md5s) != tracked["outs"][0].get("md5"):
        raise UserError(
            f"{folder}: not what {pointer} names; `dvc add {folder}` versions it, `dvc checkout "
            f"{pointer}` brings the other one back"
        )


def require_current(paths: Iterable[Path]) -> None:
    """Refuse files that are older than what made them.

    Raises:
        UserError: Some are.
    """
    if (message := complaint(paths)) is not None:
        raise UserError(message)
