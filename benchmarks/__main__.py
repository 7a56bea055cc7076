"""Run all benchmarks, or those named on the command line."""

from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    augmentation,
    large_audit,
    memory,
    nothing_to_do,
    prediction,
    references,
    sampling,
    signals,
    start,
    training,
)
from trustmia import files
from trustmia.program import OneLineParser

RESULTS = Path(__file__).with_name("results.json")
BENCHMARKS: dict[str, Callable[[], str]] = {
    "training": training.report,
    "references": references.report,
    "prediction": prediction.report,
    "sampling": sampling.report,
    "augmentation": augmentation.report,
    "memory": memory.report,
    "audit": large_audit.report,
    "rmia": signals.rmia,
    "lira": signals.lira,
    "intervals": signals.intervals,
    "start": start.report,
    "repro": nothing_to_do.report,
}


def main() -> None:
    """Print one line per benchmark and keep it in `results.json`, for the README."""
    parser = OneLineParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"{unknown[0]!r} is unknown; allowed: {', '.join(BENCHMARKS)}")
    results = files.read_json(RESULTS) if RESULTS.exists() else {}
    for name in names:
        results[name] = BENCHMARKS[name]()
        print(results[name], flush=True)
    files.write_json(RESULTS, {name: results[name] for name in BENCHMARKS if name in results})


if __name__ == "__main__":
    main()
