"""`trustmia study`: many experiments through DVC's queue, and their tables."""

import argparse
import contextlib
import shlex
from pathlib import Path

from trustmia.errors import UserError
from trustmia.study.collect import collect
from trustmia.study.grid import load_grid
from trustmia.study.progress import by_stages
from trustmia.study.repository import open_repository
from trustmia.study.running import Say, run_study
from trustmia.study.store import FOLDER, write_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description = (
        "DVC experiments VARIANT-sSEED through DVC's queue; what ran before on this commit is not "
        "run again."
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("studies/default.yaml"),
        metavar="FILE",
        help="variants, seeds and stages (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="experiments at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help="where the tables go (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    """Run the study, saying how far it is."""
    study(options.config, options.jobs, options.out, _say)


def _say(message: str) -> None:
    """Print a message; a study goes on where nobody reads any more."""
    with contextlib.suppress(BrokenPipeError):
        print(message, flush=True)


def study(config: Path, jobs: int, out: Path, say: Say) -> None:
    """Run what is missing of a study, then write the tables of all that succeeded.

    Args:
        config: The study's YAML file.
        jobs: How many experiments run at the same time, 1 or more.
        out: Folder for the tables.
        say: Takes one message at a time for the person who waits.

    Raises:
        UserError: The file, the repository or an option is wrong, or experiments failed;
            the others ran, and their tables are written.
    """
    if jobs < 1:
        raise UserError(f"--jobs: got {jobs}; allowed: 1 or more")
    grid = load_grid(config)
    with open_repository() as repository:
        finished, failed = run_study(grid, repository, jobs, say)
        if finished:
            tables, not_run = collect(repository, finished)
            write_study(out, tables)
            say(f"{out}: the tables of {len(finished)} experiments")
            if not_run:
                say(
                    f"Left out, as these stages were not run for them: {by_stages(not_run)}; add "
                    f"them to `targets` in {config}, and `dvc exp remove` what is to run again"
                )
    if failed:
        raise UserError(
            f"{len(failed)} of {len(grid.experiments)} experiments failed: "
            f"{', '.join(failed)}; running the study again runs these alone"
        )
    say(_next_step(out))


def _next_step(out: Path) -> str:
    if not out.resolve().is_relative_to(Path.cwd().resolve()):
        return (
            f"{out} is outside the repository, where DVC versions nothing; with --out {FOLDER} the "
            "tables are where it can, and where the report looks for them"
        )
    versions = f"Next: `dvc add {shlex.quote(str(out))}` versions the tables"
    return f"{versions}, `dvc repro report` draws them" if out == FOLDER else versions
