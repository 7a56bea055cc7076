"""Freed memory stays with a process that trains."""

import platform
import subprocess
import sys

import pytest

PROBE = """
import sys
import numpy as np
import psutil
from trustmia.classifiers.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
process = psutil.Process()
before = process.memory_info().rss
blocks = [np.ones(20 * 2**20, np.uint8) for _ in range(4)]
del blocks
print((process.memory_info().rss - before) // 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(("way", "kept"), [("keep", True), ("leave", False)])
def test_freed_memory_is_kept_where_it_is_asked_for(way: str, kept: bool) -> None:
    command = [sys.executable, "-c", PROBE, way]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (int(said) > 70) == kept
