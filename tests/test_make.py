"""The Makefile on other people's machines: which Python it takes, where the environment lies."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers import ROOT, run

pytestmark = pytest.mark.slow
CHECKS = ["ruff check", "ruff format --check", "mypy"]
TARGETS = {
    "run": ["dvc pull", "dvc repro", "trustmia results", "trustmia report"],
    "check": [*CHECKS, "echo 'Left out", "python -m pytest"],
    "test": [*CHECKS, "echo 'Left out", "python -m pytest"],
    "test-all": [*CHECKS, "python -m pytest"],
    "study": ["dvc pull", "trustmia study --jobs 2", "dvc add study", "dvc repro report"],
    "lint": ["ruff format", "ruff check --fix"],
    "bench": ["python -m benchmarks"],
    "readme": ["trustmia results --update README.md"],
    "publish": ["dvc push", "git add"],
}
# A package that pip installs without a network: it builds itself.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "trustmia"
version = "1"
"""
BACKEND = """
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    files = {
        "trustmia.pth": str(pathlib.Path("src").resolve()),
        "trustmia-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: trustmia\\nVersion: 1\\n",
        "trustmia-1.dist-info/WHEEL":
            "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    with zipfile.ZipFile(pathlib.Path(folder) / "trustmia-1-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        record = "".join(f"{name},,\\n" for name in [*files, "trustmia-1.dist-info/RECORD"])
        wheel.writestr("trustmia-1.dist-info/RECORD", record)
    return "trustmia-1-py3-none-any.whl"
"""
# Interpreters, each as the shell script that stands for it; {python} is a real one.
OF_VERSION = """
[ "$1" = -c ] || exit 1
exec {python} -c 'import sys; sys.version_info = {version}; exec(sys.argv[1])' "$2"
"""
SHIM = "echo 'pyenv: command not found' >&2; exit 127"
WITHOUT_VENV = "echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1"
REAL = f"exec '{sys.executable}' \"$@\""


def of_version(major: int, minor: int) -> str:
    python = f"'{sys.executable}'"
    return OF_VERSION.format(python=python, version=(major, minor, 0))


def interpreters(folder: Path, scripts: dict[str, str]) -> Path:
    """Write interpreters, and what else a recipe calls, into a folder that is the whole PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def make_clone(place: Path) -> Path:
    (place / "src/trustmia").mkdir(parents=True)
    (place / "src/trustmia/__init__.py").touch()
    shutil.copy(ROOT / "Makefile", place)
    (place / "requirements.txt").write_text("# none\n")
    (place / "pyproject.toml").write_text(PYPROJECT)
    (place / "backend.py").write_text(BACKEND)
    return place


def make(
    place: Path, *arguments: str, own: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run make as its user would: without what this process has from a make of its own."""
    outer = ("MAKE", "MFLAGS", "VENV", "OUTER_PATH", "PYTHON", "PIP_USER", "JOBS")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
    command = (str(shutil.which("make")), *arguments)
    return run(place, *command, code=code, own=kept | dict(own or {}))


def creations(said: str) -> list[str]:
    """Return the lines that make an environment."""
    return [line for line in said.splitlines() if "-m venv" in line]


@pytest.mark.parametrize(
    ("scripts", "taken"),
    [
        ({"python3.11": of_version(3, 11), "python3.13": of_version(3, 13)}, "python3.13"),
        ({"python3.13": SHIM, "python3.12": of_version(3, 12)}, "python3.12"),
        ({"python3.12": WITHOUT_VENV, "python3.11": of_version(3, 11)}, "python3.11"),
        ({"python3.11": of_version(3, 11), "python3.14": of_version(3, 14)}, "python3.11"),
        ({"python3.14": of_version(3, 14)}, "python3.14"),
        ({"python3": of_version(3, 9), "python": of_version(3, 12)}, "python"),
        ({"python3": of_version(3, 15), "python": of_version(2, 7)}, None),
        ({"python3.13": SHIM, "python3": SHIM}, None),
        ({}, None),
    ],
)
def test_first_interpreter_that_serves_is_taken(
    scripts: dict[str, str], taken: str | None, tmp_path: Path
) -> None:
    path = str(interpreters(tmp_path / "bin", scripts))
    place = make_clone(tmp_path / "clone")
    result = make(place, "-n", "run", code=0 if taken else 2, own={"PATH": path})
    if taken:
        (line,) = creations(result.stdout)
        assert f" {taken} -m venv" in line
    else:
        assert result.stdout == "" and result.stderr.count("\n") == 1
        told = ("no suitable Python", "3.11 to 3.14", "venv", "python3.13 python3.12", "PYTHON=")
        assert all(words in result.stderr for words in told)


def test_interpreter_that_is_named_wins_or_is_told(tmp_path: Path) -> None:
    place = make_clone(tmp_path / "clone")
    good, bad = of_version(3, 11), of_version(3, 10)
    path = str(interpreters(tmp_path / "bin", {"python3.13": of_version(3, 13)}))
    folder = interpreters(tmp_path / "it's here", {"mine": good, "old": bad})
    said = make(place, "-n", "test", f"PYTHON={folder / 'mine'}", own={"PATH": path}).stdout
    (line,) = creations(said)
    assert "here/mine' -m venv" in line and "python3.13" not in line
    for name in (str(folder / "old"), str(folder / "none"), "none"):
        for words, where in (([f"PYTHON={name}"], {}), ([], {"PYTHON": name})):
            told = make(place, "test", *words, code=2, own=where | {"PATH": path})
            assert told.stderr.count("\n") == 1 and f"tried {name};" in told.stderr
            assert told.stdout == ""
    assert not (place / ".venv").exists()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone with an environment, both of awkward names, made amid foreign settings."""
    beside = tmp_path_factory.mktemp("make")
    place = make_clone(beside / "her $1 'own' clone")
    (beside / "pip.conf").write_text("[global]\nuser = true\n")
    (beside / "leaked").mkdir()
    (beside / "leaked/venv.py").write_text("raise SystemExit('not this one')")
    foreign = {
        "PATH": f"{interpreters(beside / 'bin', {'python3.13': REAL})}:{os.environ['PATH']}",
        "PIP_CONFIG_FILE": str(beside / "pip.conf"),
        "PIP_PREFIX": str(beside / "prefix"),
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_USER": "1",
        "PYTHONHOME": str(beside / "nowhere"),
        "PYTHONPATH": str(beside / "leaked"),
        "PYTHONUSERBASE": str(beside / "user"),
        "PYTHONWARNINGS": "error",
    }
    (place / "my env").mkdir()
    (place / "my env/notes").write_text("mine")
    make(place, "venv", "VENV=my env", own=foreign)
    assert not (beside / "prefix").exists() and not (beside / "user").exists()
    return place


def imported_from(environment: Path) -> Path:
    command = [str(environment / "bin/python"), "-c", "import trustmia; print(trustmia.__file__)"]
    said = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout
    return Path(said.strip()).parent.parent.parent


def test_environment_lies_where_it_is_wanted_and_holds_the_clones_code(made: Path) -> None:
    assert imported_from(made / "my env") == made
    assert (made / "my env/notes").read_text() == "mine"
    run(made, "git", "init", "--quiet")
    assert "my env" not in run(made, "git", "status", "--porcelain", "--untracked=all").stdout


@pytest.mark.parametrize("target", TARGETS)
def test_current_environment_is_kept_and_used(target: str, made: Path) -> None:
    lines = make(made, "-n", target, "VENV=my env").stdout.splitlines()
    assert len(lines) == len(TARGETS[target])
    assert all(words in line for words, line in zip(TARGETS[target], lines))


def test_stale_environment_is_brought_up_to_date(made: Path) -> None:
    stamp = (made / "my env/.ready").stat().st_mtime
    os.utime(made / "requirements.txt", (stamp + 5, stamp + 5))
    said = make(made, "-n", "venv", "VENV=my env").stdout
    os.utime(made / "requirements.txt", (stamp - 5, stamp - 5))
    assert "pip install" in said and creations(said) == []


def test_environment_of_another_python_than_the_named_is_made_again(
    made: Path, tmp_path: Path
) -> None:
    same = interpreters(tmp_path / "same", {"mine": REAL}) / "mine"
    assert "Nothing to be done" in make(made, "-n", "venv", "VENV=my env", f"PYTHON={same}").stdout
    script = of_version(3, 11 if sys.version_info[:2] != (3, 11) else 12)
    other = interpreters(tmp_path / "other", {"mine": script}) / "mine"
    said = make(made, "-n", "venv", "VENV=my env", f"PYTHON={other}").stdout
    assert len(creations(said)) == 1


def test_commands_see_the_environment_and_no_other(made: Path) -> None:
    probe = interpreters(made / "my env/bin", {"trustmia": 'printenv; python -c "import this"'})
    foreign = ("PYTHONPATH", "PYTHONHOME", "PYTHONOPTIMIZE", "VIRTUAL_ENV", "PIP_TARGET")
    kept = {"PIP_FIND_LINKS": "wheels", "PIP_INDEX_URL": "index", "PIP_CERT": "certificates"}
    said = make(
        made, "readme", "VENV=my env", own=dict.fromkeys(foreign, "elsewhere") | kept
    ).stdout
    (probe / "trustmia").unlink()
    assert "elsewhere" not in said
    assert {f"{name}={value}" for name, value in kept.items()} <= set(said.splitlines())
    assert f"PATH={made / 'my env/bin'}:" in said and "The Zen of Python" in said


def test_link_to_a_folder_that_is_not_yet_there_becomes_the_environment(tmp_path: Path) -> None:
    place = make_clone(tmp_path / "clone")
    (place / ".venv").symlink_to("../large disk/env")
    path = f"{interpreters(tmp_path / 'bin', {'python3.13': REAL})}:{os.environ['PATH']}"
    make(place, "venv", own={"PATH": path})
    assert (place / ".venv").is_symlink() and (tmp_path / "large disk/env/pyvenv.cfg").is_file()
    assert imported_from(place / ".venv") == place
    assert "Nothing to be done" in make(place, "-n", "venv").stdout


def test_environment_that_was_moved_or_lost_its_python_is_made_again(
    made: Path, tmp_path: Path
) -> None:
    path = f"{interpreters(tmp_path / 'bin', {'python3.13': REAL})}:{os.environ['PATH']}"
    moved = tmp_path / "moved"
    shutil.copytree(made, moved, symlinks=True)
    make(moved, "venv", "VENV=my env", own={"PATH": path})
    assert imported_from(moved / "my env") == moved
    script = (moved / "my env/bin/pip").read_text()
    assert str(moved) in script and str(made) not in script
    for name in ("python", "python3", f"python3.{sys.version_info[1]}"):
        (moved / "my env/bin" / name).unlink()
        (moved / "my env/bin" / name).symlink_to("/nowhere/python")
    assert len(creations(make(moved, "-n", "venv", "VENV=my env", own={"PATH": path}).stdout)) == 1


@pytest.mark.parametrize("stamped", [False, True])
def test_environment_never_takes_the_place_of_a_project(tmp_path: Path, stamped: bool) -> None:
    place = make_clone(tmp_path / "clone")
    path = f"{interpreters(tmp_path / 'bin', {'python3.13': REAL})}:{os.environ['PATH']}"
    if stamped:
        (place / ".ready").write_text("elsewhere")
    before = sorted(file.name for file in place.iterdir())
    told = make(place, "venv", "VENV=.", own={"PATH": path}, code=2)
    assert "holds a project" in told.stderr
    assert sorted(file.name for file in place.iterdir()) == before
    (line,) = creations(make(place, "-n", "venv", own={"PATH": path, "VENV": ""}).stdout)
    assert "python3.13 -m venv" in line


def test_what_else_lies_in_an_environment_stays_when_it_is_made_again(tmp_path: Path) -> None:
    place = make_clone(tmp_path / "clone")
    path = f"{interpreters(tmp_path / 'bin', {'python3.13': REAL})}:{os.environ['PATH']}"
    (place / ".venv").mkdir()
    (place / ".venv/notes").write_text("mine")
    (place / ".venv/.ready").write_text("elsewhere")
    make(place, "venv", own={"PATH": path})
    assert (place / ".venv/notes").read_text() == "mine"
    assert imported_from(place / ".venv") == place
