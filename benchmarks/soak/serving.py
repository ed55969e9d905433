"""The real service as a process of its own, pinned to the first core; whoever measures takes the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Any

START_S = 300


@dataclass(frozen=True, slots=True)
class Served:
    """A service that is ready."""

    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def resident_bytes(self) -> int:
        """Memory that is the process's own: file pages that are mapped do not count, so that it can be compared."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("RssAnon")]
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Let the peak start from now (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def logged(self) -> list[dict[str, Any]]:
        """All lines of the log so far."""
        self.log.seek(0)
        return [json.loads(line) for line in self.log.read().splitlines()]


def split_cores() -> tuple[set[int], set[int]]:
    """Return the server's core and those of whoever measures; on one core they share it."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


@contextmanager
def serving(*, prefix: tuple[str, ...] = (), **settings: object) -> Iterator[Served]:
    """Run `agelens serve` until the block is left; settings become AGELENS_ variables."""
    server_cores, own_cores = split_cores()
    environment = {**os.environ, **{f"AGELENS_{name.upper()}": str(value) for name, value in settings.items()}}
    command = [*prefix, sys.executable, "-m", "service.cli.main", "serve", "--port", "0"]
    with tempfile.TemporaryFile() as log:
        os.sched_setaffinity(0, server_cores)  # a child starts with its parent's cores
        process = subprocess.Popen(command, env=environment, stdout=log)
        os.sched_setaffinity(0, own_cores)
        try:
            served = Served(process, _port(process, log), log)
            _wait_until_ready(served)
            yield served
        finally:
            process.kill()
            process.wait()
            os.sched_setaffinity(0, server_cores | own_cores)


def _port(process: subprocess.Popen[bytes], log: IO[bytes]) -> int:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        for line in Path(f"/proc/self/fd/{log.fileno()}").read_bytes().splitlines():
            said = json.loads(line)
            if said["event"] == "listening":
                return int(said["port"])
        time.sleep(0.05)
    raise RuntimeError("the service did not start; its reason is above")


def _wait_until_ready(served: Served) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and served.process.poll() is None:
        with suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", served.port, timeout=5)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == HTTPStatus.OK:
                return
        time.sleep(0.05)
    raise RuntimeError("the service did not become ready; its reason is above")
