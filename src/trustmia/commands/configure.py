"""`trustmia configure`: an experiment of the paper in `params.yaml`."""

import argparse
import difflib
from pathlib import Path

from trustmia import files
from trustmia.errors import UserError
from trustmia.paper.configurations import CONFIGURATIONS, configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description = (
        "Set in params.yaml what an experiment of the paper sets. All other values, comments and "
        "changes of yours stay; `git restore params.yaml` brings the committed file back."
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="e.g. cifar10_resnet18; without it, all are listed"
    )
    parser.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help="where the other values are (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="what is written, if not --params")


def run(options: argparse.Namespace) -> None:
    """Write the parameters, or list the names."""
    name, out = options.name, options.out or options.params
    if name is None:
        print("\n".join(f"{key:42}{c.title}" for key, c in CONFIGURATIONS.items()))
        return
    if name not in CONFIGURATIONS:
        near = ", ".join(difflib.get_close_matches(name, CONFIGURATIONS)) or "none"
        raise UserError(
            f"configure: {name!r} is unknown; similar: {near}; `trustmia configure` lists all "
            f"{len(CONFIGURATIONS)} that are allowed"
        )
    text = configured(options.params, name)
    try:
        files.write_text(out, text)
    except OSError as error:
        raise UserError(f"configure: cannot write {out}: {error.strerror}") from error
    print(f"{out}: {name} ({CONFIGURATIONS[name].title})")
