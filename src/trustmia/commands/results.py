"""`trustmia results`: the tables of the last run."""

import argparse
from pathlib import Path

STYLES = ("simple", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "--format", choices=STYLES, default="simple", help="table style (default: %(default)s)"
    )
    parser.add_argument(
        "--update",
        type=Path,
        metavar="FILE",
        help="write the tables into this Markdown file, between its markers",
    )


def run(options: argparse.Namespace) -> None:
    """Print the attacks' table, or write all tables into a file."""
    from trustmia.report import readme

    if options.update:
        readme.update(options.update)
    else:
        print(readme.result_table(options.format))
