"""`trustmia compare-paper`: the last run beside the paper's published table."""

import argparse
from pathlib import Path

from trustmia.commands.results import STYLES
from trustmia.paper.comparison import compare_paper
from trustmia.params import load_params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "--format", choices=STYLES, default="simple", help="table style (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write it as CSV")


def run(options: argparse.Namespace) -> None:
    """Print the comparison."""
    print(compare_paper(load_params(), options.format, options.out))
