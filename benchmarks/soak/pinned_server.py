"""`agelens serve` on the first processor; whoever measures takes the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from benchmarks.pinned import cores, taskset
from tests.server_process import SERVE, ServerProcess, run_server


@contextmanager
def serving(stderr: IO[bytes] | None = None, **settings: object) -> Iterator[ServerProcess]:
    """Run the service until the block is left; settings become AGELENS_ variables."""
    everything = os.sched_getaffinity(0)
    measured, _ = cores()
    with run_server(taskset(measured, SERVE), stderr, **settings) as server:
        os.sched_setaffinity(0, everything - {measured} or everything)
        try:
            yield server
        finally:
            os.sched_setaffinity(0, everything)
