"""Large buffers after they were freed, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource, sys
import numpy as np
from service.memory import return_large_buffers

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

assert "hold" in sys.argv or return_large_buffers()
np.ones(30 * 2**20, np.uint8)  # freed at once: glibc takes its size as the new bound
before = resident()
between = [np.ones(8 * 2**20, np.uint8), np.ones(1000, np.uint8)]
kept = between.pop()
between.clear()
print((resident() - before) / 2**20)
"""


def grown_mb(*arguments: str) -> float:
    program = [sys.executable, "-c", PROGRAM, *arguments]
    return float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def test_a_large_buffer_goes_back_to_the_system_when_it_is_freed() -> None:
    assert grown_mb() < 2
    assert grown_mb("hold") > 6
