"""What `dvc.yaml` promises about every stage."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import ROOT, run
from trustmia.errors import UserError
from trustmia.stages._inputs import read_split

PACKAGE = ROOT / "src" / "trustmia"
# These carry what others decide: messages, paths, bytes. A change in them moves no result.
CARRIERS = {
    "_runner",
    "arrays",
    "entry",
    "errors",
    "files",
    "_inputs",
    "layout",
    "params",
    "torchvision_compat",
    "yaml_files",
}

STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage)
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))[
        "stages"
    ].items()
}


def module(name: str) -> Path | None:
    place = PACKAGE.parent.joinpath(*name.split("."))
    found = [p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()]
    return found[0] if found else None


def imported(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trustmia"):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from filter(None, map(module, names))


def only_explains(path: Path) -> bool:
    """Say whether a package's `__init__` has nothing but a docstring and its version."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return path.name == "__init__.py" and not any(isinstance(n, ast.ImportFrom) for n in body)


def deciding_code(stage: Path) -> set[Path]:
    """Return all modules that a stage imports, at any depth, carriers aside."""
    found: set[Path] = set()
    waiting = [stage]
    while waiting:
        path = waiting.pop()
        if path not in found and path.stem not in CARRIERS and not only_explains(path):
            found.add(path)
            waiting.extend(imported(path))
    return found


@pytest.mark.parametrize("name", STAGES)
def test_stage_is_the_module_of_its_name(name: str) -> None:
    assert STAGES[name]["cmd"].split()[:3] == ["python", "src/stage.py", name]


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_the_code_that_decides_and_on_no_other(name: str) -> None:
    listed = {ROOT / path for path in STAGES[name]["deps"] if path.startswith("src/")}
    used = deciding_code(PACKAGE / "stages" / f"{name}.py")
    covered = {path for path in used if listed & {path, *path.parents}}
    assert used == covered
    assert {p for p in listed if not any(p in (u, *u.parents) for u in used)} == set()


@pytest.mark.parametrize("name", [name for name in STAGES if name.startswith("train")])
def test_trainings_are_kept_by_the_run_cache(name: str) -> None:
    # DVC passes over stages with outs that are in git and neither metrics nor plots.
    assert all(isinstance(out, str) for out in STAGES[name]["outs"])


@pytest.mark.parametrize("name", ["train", "calibrate", "predict"])
@pytest.mark.parametrize("arguments", [[], ["attacker"]])
def test_role_that_is_missing_or_unknown_is_told_in_one_line(
    name: str, arguments: list[str]
) -> None:
    result = run(ROOT, "python", "src/stage.py", name, *arguments, code=2)
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert "role" in result.stderr and "--help" in result.stderr


def test_missing_split_names_the_stage_to_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"outputs/split/target.npz: not found; run `dvc repro split`"
    ):
        read_split("target")


def test_damaged_split_names_what_brings_it_back(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("outputs/split/target.npz")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"not readable .* run `dvc checkout outputs/split"):
        read_split("target")
