"""The command `trustmia`."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from trustmia import __version__, program
from trustmia.commands import COMMANDS
from trustmia.program import OneLineParser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the command."""

    def command() -> None:
        given = sys.argv[1:] if arguments is None else arguments
        options = parser(given).parse_args(given)
        options.run(options)

    program.run("trustmia", command)


def parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line; the command's module alone is imported."""
    result = OneLineParser(
        prog="trustmia",
        description="Can a membership inference attack be trusted? "
        "The experiment itself runs with `dvc repro`.",
    )
    result.add_argument("--version", action="version", version=__version__)
    commands = result.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name in arguments[:1]:
            module = importlib.import_module(f"trustmia.commands.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return result


if __name__ == "__main__":
    main()
