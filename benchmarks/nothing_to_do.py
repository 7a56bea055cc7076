"""`dvc repro` when everything is up to date."""

import subprocess
import sys

from benchmarks.timing import side_by_side

ROUNDS = 3


def report() -> str:
    """Return how long DVC takes to see that nothing changed."""

    def repro() -> None:
        output = subprocess.run(["dvc", "repro"], capture_output=True, text=True, check=True)
        if "Running stage" in output.stdout:
            raise RuntimeError("something was to do: run `dvc repro` before `make bench`")

    def start() -> None:
        subprocess.run(["dvc", "--version"], capture_output=True, check=True)

    ours, bare, ratio = side_by_side(start, repro, ROUNDS)
    print(f"  dvc repro took {bare:.1f} s, dvc --version {ours:.1f} s", file=sys.stderr)
    return f"dvc repro with nothing to do: {ratio:.1f} times as long as `dvc --version`"
