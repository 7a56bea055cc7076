"""How long stages that compute little take to start."""

import functools
import statistics
import subprocess
import sys

from benchmarks.timing import side_by_side

ROUNDS = 5
STAGES = ("prepare_dataset", "split", "train_judge", "gallery", "describe_scores", "report")


def report() -> str:
    """Return how many times as long as Python with NumPy stages take to load what they need."""

    bare = functools.partial(_run, "-c", "import numpy")
    ratios = {
        stage: side_by_side(bare, functools.partial(_run, "src/stage.py", stage, "--help"), ROUNDS)[
            2
        ]
        for stage in STAGES
    }
    print("  " + ", ".join(f"{k} {v:.1f}" for k, v in ratios.items()), file=sys.stderr)
    middle, longest = statistics.median(ratios.values()), max(ratios.values())
    return (
        f"start: stages that compute little load in {middle:.1f} times the time of Python with "
        f"NumPy, at most {longest:.1f}"
    )


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
