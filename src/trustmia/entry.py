"""How programs end: one line and exit code 2 for a user's mistake."""

import argparse
import logging
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from trustmia.errors import UserError

INTERRUPTED = 130


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error of this program."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; run `{self.prog} --help`\n")


def run(name: str, main: Callable[[], None]) -> None:
    """Run a program's `main`; exit with 2 after a `UserError`, with 130 after Ctrl-C.

    Args:
        name: What to call the program in messages.
        main: The program.
    """
    _quieten_libraries()
    try:
        main()
    except UserError as error:
        sys.exit(_complain(f"{name}: {error}", 2))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(_complain(f"{name}: interrupted", INTERRUPTED))


def _complain(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return code


def _quieten_libraries() -> None:
    """Keep remarks of libraries that no user can act on out of the output."""
    logging.getLogger("dvclive").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(torch|laplace|backpack)\b.*")
