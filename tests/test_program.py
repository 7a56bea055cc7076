"""How programs end, whatever the terminal, the disk and the user's settings are."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import ROOT, environment
from trustmia import files
from trustmia import program as entry
from trustmia.runtime import compute

PACKAGE_PROGRAMS = (
    ["src/stage.py", "attack"],
    ["-m", "benchmarks"],
)


def started(
    folder: Path, *command: str, out: int | None = subprocess.PIPE, **own: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with settings of its own in the environment; its output is buffered."""
    kept = {k: v for k, v in environment(ROOT).items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        command,
        cwd=folder,
        env=kept | own,
        stdout=out,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )


@pytest.fixture
def audit(tmp_path: Path) -> list[str]:
    """Return a command that audits sets whose names no font or old terminal has."""
    rng = np.random.default_rng(0)
    member = np.arange(60) < 30
    scores = rng.dirichlet(np.full(3, 0.2), 60).astype(np.float32)
    labels = rng.integers(3, size=60)
    arrays: dict[str, Any] = {"scores": scores, "labels": labels, "member": member}
    files.write_arrays(tmp_path / "shadow.npz", arrays)
    names = np.where(member, "members", np.resize(["鳥", "$x_{$", "_größe"], 60))
    files.write_arrays(tmp_path / "target.npz", arrays | {"set": names})
    scored = ["--shadow", "shadow.npz", "--target", "target.npz", "--resamples", "0"]
    return ["trustmia", "audit", *scored, "--attacks", "threshold", "--out", "out"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_the_terminal_cannot_show_is_escaped(
    tmp_path: Path, audit: list[str], encoding: str
) -> None:
    done = started(tmp_path, *audit, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u9ce5" in done.stdout and "Written to out" in done.stdout
    for command in (["--help"], ["audit", "--help"]):
        helped = started(tmp_path, "trustmia", *command, PYTHONIOENCODING=encoding)
        assert (helped.returncode, helped.stderr) == (0, "") and "usage" in helped.stdout


def test_warnings_and_settings_of_libraries_change_nothing(
    tmp_path: Path, audit: list[str]
) -> None:
    plain = started(tmp_path, *audit)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "matplotlibrc").write_text(
        "figure.facecolor: red\nfont.family: NoSuchFont\nno.such.key: 1\nsavefig.dpi: 20\n"
    )
    shown = started(tmp_path, *audit, PYTHONWARNINGS="error", MPLBACKEND="NoSuchBackend")
    assert (shown.returncode, shown.stderr) == (0, "") and shown.stdout == plain.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_settings_that_matplotlib_cannot_read_are_named(tmp_path: Path, audit: list[str]) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"# f\xfcr mich\n")
    done = started(tmp_path, *audit)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("trustmia: matplotlibrc: not readable")


@pytest.mark.linux
def test_a_full_disk_is_told_in_one_line(tmp_path: Path, audit: list[str]) -> None:
    for command in (audit, ["trustmia", "--help"]):
        with Path("/dev/full").open("wb") as full:
            done = started(tmp_path, *command, out=full.fileno())
        assert (done.returncode, done.stderr) == (1, "trustmia: No space left on device\n")


def test_a_file_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        raise OSError(28, "No space left on device", "outputs/scores.npz")

    with pytest.raises(SystemExit) as stopped:
        entry.run("predict", write)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "predict: outputs/scores.npz: No space left on device\n"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, audit: list[str]) -> None:
    pipe = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    assert pipe.stdin is not None
    pipe.wait()
    done = started(tmp_path, *audit, out=pipe.stdin.fileno())
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", PACKAGE_PROGRAMS)
@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--force", 2)])
def test_a_program_with_arguments_that_it_does_not_know_does_nothing(
    program: list[str], argument: str, code: int
) -> None:
    written = ROOT / "metrics/attack.json"
    before = written.stat().st_mtime_ns
    done = started(ROOT, sys.executable, *program, argument)
    assert done.returncode == code
    assert done.stderr.count("\n") == (1 if code else 0)
    assert ("usage" in done.stdout) == (code == 0)
    assert written.stat().st_mtime_ns == before


def test_a_stage_that_does_not_exist_is_told_with_those_that_do() -> None:
    for arguments in ([], ["bogus"], ["_inputs"]):
        done = started(ROOT, sys.executable, "src/stage.py", *arguments)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and "attack, calibrate" in done.stderr


def test_cores_are_counted_where_the_system_does_not_tell_which_may_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert compute.cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert compute.cores() == os.cpu_count()


@pytest.mark.filterwarnings("error")
def test_float32_is_never_computed_in_tensorfloat_32() -> None:
    kinds: list[Any] = [
        torch.backends.cuda.matmul,
        *(getattr(torch.backends.cudnn, name) for name in ("conv", "rnn")),
    ]
    for kind in kinds:
        kind.fp32_precision = "tf32"
    compute.pick_device()
    assert [kind.fp32_precision for kind in kinds] == ["ieee"] * 3
    assert torch.get_float32_matmul_precision() == "highest"
