"""`trustmia report`: finds the report that the last run wrote."""

import argparse
import webbrowser
from pathlib import Path

from trustmia import files, paths
from trustmia.errors import UserError
from trustmia.freshness import Lock, remark

LOCK = Path("dvc.lock")
STAGE = "report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also copy it to this file")


def run(options: argparse.Namespace) -> None:
    """Print where the report is."""
    print(find_report(options.open, options.out))


def find_report(open_it: bool, out: Path | None) -> str:
    """Return where the report is, and remark on standard error if it is an old one.

    Raises:
        UserError: There is no report, it is not the one of the last run, or it cannot be
            shown or copied.
    """
    path = paths.REPORT
    if not path.is_file():
        raise UserError(
            f"{path}: not found; run `dvc pull {path}`, or `dvc repro {STAGE}`, in the root of the "
            "repository"
        )
    noted = Lock().noted_md5(path.as_posix())
    if noted is None:
        raise UserError(
            f"{LOCK}: names no report; run `git restore {LOCK}`, or `dvc repro {STAGE}`"
        )
    if files.md5(path) != noted:
        raise UserError(
            f"{path}: not the report that {LOCK} names; run `dvc checkout {path}`, "
            f"or `dvc repro {STAGE}`"
        )
    remark([path])
    if out is not None:
        path = _copied(path, out)
    if open_it and not webbrowser.open(path.resolve().as_uri()):
        raise UserError(f"--open: found no browser; open {path} yourself")
    return str(path)


def _copied(path: Path, out: Path) -> Path:
    if out.is_dir():
        raise UserError(f"--out: {out} is a folder; allowed: a file, e.g. {out / path.name}")
    try:
        files.copy_file(path, out)
    except OSError as error:
        raise UserError(f"--out: cannot write {out}: {error.strerror}") from error
    return out
