"""`trustmia audit` on ten million target rows."""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = 10
SMALL_ROWS, LARGE_ROWS = 1_000_000, 10_000_000
BLOCK = 500_000
SETS = ("members", "original", "fake", "digits")


def report() -> str:
    """Return how time and memory grow from one to ten million rows."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_rows(folder / "shadow.parquet", 5_000)
        lines = []
        for rows in (SMALL_ROWS, LARGE_ROWS):
            write_rows(folder / "target.parquet", rows)
            lines.append(run_audit_command(folder))
    (small_time, _), (large_time, memory) = lines
    print(f"  10 million rows took {large_time:.0f} s", file=sys.stderr)
    return (
        f"audit: 10 million rows take {large_time / small_time:.1f} times as long as 1 million, "
        f"and {memory:.1f} GB of memory at most"
    )


def write_rows(path: Path, rows: int) -> None:
    """Write random softmax scores, the members more confident."""
    rng = np.random.default_rng(0)
    fields = [(f"scores_{i}", pa.float32()) for i in range(CLASSES)]
    fields += [("labels", pa.int64()), ("member", pa.bool_()), ("set", pa.string())]
    with pq.ParquetWriter(path, pa.schema(fields)) as writer:
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            codes = rng.integers(len(SETS), size=count)
            logits = rng.normal(0, 3, (count, CLASSES)) * (1 + 0.3 * (codes == 0))[:, None]
            scores = np.exp(logits - logits.max(axis=1, keepdims=True))
            scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
            columns = [*scores.T, scores.argmax(axis=1), codes == 0, np.asarray(SETS)[codes]]
            arrays = [pa.array(column, kind) for column, (_, kind) in zip(columns, fields)]
            writer.write_batch(pa.record_batch(arrays, names=[name for name, _ in fields]))


def run_audit_command(folder: Path) -> tuple[float, float]:
    """Return seconds and peak memory (GB) of the command as a process of its own."""
    arguments = [sys.executable, "-m", "trustmia.cli", "audit"]
    for option, value in (
        ("shadow", "shadow.parquet"),
        ("target", "target.parquet"),
        ("out", "out"),
    ):
        arguments += [f"--{option}", str(folder / value)]
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    process = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"trustmia audit ended with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6
