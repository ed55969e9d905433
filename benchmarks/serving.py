"""Servers as processes on one processor, and what clients on the other see of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.figures import quantile
from benchmarks.pinned import ROOT, ask, cores, taskset
from tests.server_process import family

_PATIENCE_S: Final = 120


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that answers on a port; `ready_s` after it was started."""

    name: str
    port: int
    pid: int
    ready_s: float

    def rss_mb(self) -> float:
        """Resident memory of the process and its children, in megabytes."""
        return sum(_rss_bytes(pid) for pid in family(self.pid)) / 1e6


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients saw in one round."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def our_command(port: int) -> list[str]:
    """`agelens serve` for one processor."""
    return [sys.executable, "-m", "service.cli.main", "serve", "--port", str(port), "--threads", "1"]


@contextmanager
def serving(
    name: str, command: Sequence[str], port: int, probe: str, env: Mapping[str, str] | None = None
) -> Iterator[Serving]:
    """Start a server on the measured processor, wait for its probe to say 200, and end it after the block."""
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AGELENS_LOG_LEVEL": "warning", **(env or {})}
    process = subprocess.Popen(
        taskset(cores()[0], command),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        ready_s = _ready_after(process, f"http://127.0.0.1:{port}{probe}", began, name)
        yield Serving(name, port, process.pid, ready_s)
    finally:
        for pid in family(process.pid):  # by tree: BentoML's workers have a session of their own
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def load(server: Serving, picture: Path, clients: int, seconds: float) -> Seen:
    """Let clients post as fast as they get answers."""
    return _seen(
        ask("benchmarks.load", str(server.port), str(picture), "saturate", str(clients), str(seconds), core=cores()[1])
    )


def pace(server: Serving, picture: Path, per_second: float, seconds: float) -> Seen:
    """Post at an even rate."""
    return _seen(
        ask("benchmarks.load", str(server.port), str(picture), "paced", str(per_second), str(seconds), core=cores()[1])
    )


def _seen(answer: Mapping[str, object]) -> Seen:
    latencies, took = answer["latencies_ms"], answer["seconds"]
    assert isinstance(latencies, list)
    assert isinstance(took, float)
    return Seen(len(latencies) / took, quantile(latencies, 0.5), quantile(latencies, 0.99), len(latencies))


def _ready_after(process: subprocess.Popen[bytes], url: str, began: float, name: str) -> float:
    while time.perf_counter() - began < _PATIENCE_S:
        if process.poll() is not None:
            raise SystemExit(f"{name} ended with {process.returncode} before it was ready")
        try:
            if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                return time.perf_counter() - began
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise SystemExit(f"{name} was not ready after {_PATIENCE_S} s")


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
