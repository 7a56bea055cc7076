"""How programs end: in one line, with exit code 2 for a user's mistake."""

import argparse
import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn, TextIO

from trustmia.errors import UserError


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error of this program."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; run `{self.prog} --help`\n")


def run(name: str, main: Callable[[], None], unread: int = 0) -> None:
    """Run a program's `main`.

    Exits with 2 after a `UserError`, with 130 after Ctrl-C, with 1 where the system refuses
    to read or write, e.g. as the disk is full.

    Args:
        name: What to call the program in messages.
        main: The program; what it prints has left the process when this returns.
        unread: What to exit with where nobody reads what it prints any more.
    """
    _quieten_libraries()
    _write_any_character()
    try:
        _run_and_flush(main)
    except UserError as error:
        if isinstance(error.__cause__, BrokenPipeError):  # of --out /dev/stdout
            sys.exit(unread)
        _exit(2, f"{name}: {error}")
    except BrokenPipeError:
        sys.exit(unread)
    except KeyboardInterrupt:
        _exit(130, f"{name}: interrupted")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _exit(1, f"{name}: {place}{error.strerror or error}")


def _run_and_flush(main: Callable[[], None]) -> None:
    """Run `main` and write what it printed; an error of its own counts before one of that."""
    try:
        main()
    except SystemExit:
        _flush(sys.stdout)
        raise
    except BaseException:
        with contextlib.suppress(OSError):
            _flush(sys.stdout)
        raise
    _flush(sys.stdout)


def _exit(code: int, message: str) -> NoReturn:
    with contextlib.suppress(OSError):
        print(" ".join(message.split()), file=sys.stderr)
    sys.exit(code)


def _flush(stream: TextIO | None) -> None:
    """Write what was printed; where that fails, the interpreter is not to try it again."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


def _write_any_character() -> None:
    """Escape what the terminal's encoding lacks rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _quieten_libraries() -> None:
    """Keep remarks of libraries that no user can act on out of the output.

    With `PYTHONWARNINGS=error` they would even end the program, or its worker processes.
    """
    for library in ("dvclive", "matplotlib"):
        logging.getLogger(library).setLevel(logging.ERROR)
    sys.warnoptions.clear()
    os.environ.pop("PYTHONWARNINGS", None)
    # No window is opened, and a backend that is not installed would end the import.
    os.environ["MPLBACKEND"] = "agg"
    warnings.simplefilter("ignore")
