"""How programs end, whatever the terminal, the disk and the user's settings are."""

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import ROOT, environment
from trustmia import cli, files
from trustmia import program as entry
from trustmia.commands import COMMANDS
from trustmia.commands import study as study_command
from trustmia.errors import UserError
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


def least_arguments(name: str) -> list[str]:
    """Return the shortest command line that the parser of a command takes."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"trustmia.commands.{name.replace('-', '_')}").add_arguments(parser)
    required = [action for action in parser._actions if action.required]
    return [name, *(word for one in required for word in [*one.option_strings[-1:], "own"])]


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Let signals interrupt, also where whoever runs the suite in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_at_call(number: int, arguments: Sequence[str]) -> tuple[int, object]:
    """Run a command; interrupt it as it calls its `number`-th function of this package.

    Returns:
        How many functions were called, and the exit code.
    """
    package, count = str(ROOT / "src"), 0

    def trace(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        if event == "call" and frame.f_code.co_filename.startswith(package):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGINT)

    code: object = 0
    sys.setprofile(trace)
    try:
        cli.main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    finally:
        sys.setprofile(None)
    return count, code


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_every_command_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = least_arguments(name)
    options = cli.parser(arguments).parse_args(arguments)
    run = options.run

    def interrupted(options: argparse.Namespace) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        run(options)

    monkeypatch.setattr(sys.modules[run.__module__], run.__name__, interrupted)
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 130
    assert capsys.readouterr() == ("", "trustmia: interrupted\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_at_any_moment_leaves_all_results_or_none(
    tmp_path: Path,
    audit: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = {path.name for path in tmp_path.iterdir()}
    for _ in ("imports", "counts"):
        calls, code = interrupt_at_call(0, audit[1:])
        assert code == 0
    complete = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    capsys.readouterr()
    # Behind the first calls, which are of the program before it does anything.
    for number in np.linspace(6, calls, 6, dtype=int):
        shutil.rmtree("out", ignore_errors=True)
        _, code = interrupt_at_call(int(number), audit[1:])
        assert code == 130
        assert capsys.readouterr().err == "trustmia: interrupted\n"
        assert {path.name for path in tmp_path.iterdir()} <= inputs | {"out"}
        left = {path.name: path.read_bytes() for path in Path("out").glob("*")}
        assert left in ({}, complete)


PROGRAMS = {
    "trustmia": ["trustmia", "audit", "--shadow", "data.csv", "--target", "data.csv", "--out", "o"],
    "attack": [sys.executable, "src/stage.py", "attack"],
}


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_while_libraries_are_imported_is_told_in_one_line(
    program: str, tmp_path: Path
) -> None:
    (tmp_path / "numpy.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    done = started(ROOT, *PROGRAMS[program], PYTHONPATH=paths)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"{program}: interrupted\n"


def opened_by_reader(path: Path) -> int | None:
    """Return the end to write to of a named pipe; None if nobody reads it yet."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(
    ("program", "command", "read"),
    [
        ("trustmia", ["trustmia", "fetch", "--all"], "params.yaml"),
        ("attack", PROGRAMS["attack"], "dvc.yaml"),
    ],
)
def test_ctrl_c_ends_a_process_that_reads(
    program: str, command: list[str], read: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / read)
    (tmp_path / "src").symlink_to(ROOT / "src")
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while (written := opened_by_reader(tmp_path / read)) is None:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    os.close(written)
    assert (process.returncode, said) == (130, ("", f"{program}: interrupted\n"))
    assert {path.name for path in tmp_path.iterdir()} == {read, "src"}


def unread_pipe() -> int:
    """Return the end to write to of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def leave_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody read what is printed from here on."""
    monkeypatch.setattr(sys, "stdout", os.fdopen(unread_pipe(), "w"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_nobody_reads_ends_well(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_unread(monkeypatch)
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, audit: list[str]) -> None:
    done = started(tmp_path, *audit, out=unread_pipe())
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stage_that_nobody_hears_is_not_taken_for_done() -> None:
    done = started(ROOT, *PROGRAMS["attack"], "--help", out=unread_pipe())
    assert (done.returncode, done.stderr) == (1, "")


def mistake() -> None:
    print("so far")
    raise UserError("a mistake")


def results_to_a_pipe() -> None:
    try:
        raise BrokenPipeError(32, "Broken pipe")
    except OSError as error:
        raise UserError(f"--out: cannot write: {error.strerror}") from error


@pytest.mark.parametrize(
    ("main", "code", "told"),
    [(mistake, 2, "audit: a mistake\n"), (results_to_a_pipe, 0, "")],
)
def test_a_mistake_is_told_where_nobody_reads_results(
    main: Callable[[], None],
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    leave_unread(monkeypatch)
    with pytest.raises(SystemExit) as stopped:
        entry.run("audit", main)
    assert stopped.value.code == code
    assert capsys.readouterr().err == told


def test_a_study_goes_on_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unread(monkeypatch)
    study_command._say("1 experiment")
    study_command._say("done")


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
