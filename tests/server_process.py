"""A server in a process of its own, which never outlives its caller: tests and benchmarks start it here."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
SERVE = (sys.executable, "-m", "service.cli.main", "serve")


class ServerProcess:
    """`agelens serve`, or a double of it, as a process; its log is read as it comes, or the pipe would fill up."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._unread: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.wait_for("listening")["port"])
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log up to a line with this event."""
        while (text := self._unread.get(timeout=120)) is not None:
            line: dict[str, Any] = json.loads(text)
            self.lines.append(line)
            if line["event"] == event:
                return line
        raise AssertionError(f"the server ended without saying {event}: {self.lines}")

    def logged(self) -> list[dict[str, Any]]:
        """Return all lines of the log; call it once the process has ended."""
        while (text := self._unread.get(timeout=120)) is not None:
            self.lines.append(json.loads(text))
        return self.lines

    def resident_bytes(self, *, family: bool = False) -> int:
        """Return the memory that is the process's own; mapped file pages do not count, so that it can be compared.

        With `family`, that of the processes it started is added.
        """
        return sum(self._status_bytes("RssAnon", each) for each in (self.family() if family else [self.process.pid]))

    def family(self) -> list[int]:
        """Return the process and all that it started."""
        return family(self.process.pid)

    def peak_bytes(self) -> int:
        """Return the largest resident memory since the start, or since `forget_peak`."""
        return self._status_bytes("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak start from now (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Return the exit status once the log has ended."""
        self._reader.join(120)
        return self.process.wait(120)

    def stop(self, patience_s: float = 90) -> None:
        """Ask it to end, and fail where it does not: then it says where its threads are, and is killed."""
        self.signal()
        try:
            status = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._kill()
            raise AssertionError(
                f"the service was killed: it did not end within {patience_s} s of SIGTERM "
                "(its threads stand in the standard error above)"
            ) from None
        assert status == 0, f"the service ended with status {status} after SIGTERM"

    def _status_bytes(self, name: str, number: int | None = None) -> int:
        status = Path(f"/proc/{number or self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024

    def _kill(self) -> None:
        self.signal(signal.SIGABRT)  # faulthandler prints what each thread does
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):  # the pipe is closed when the server was killed
            for text in self.process.stdout:
                self._unread.put(text)
        self._unread.put(None)


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without settings of agelens, and with `variables`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AGELENS_")} | variables


def family(number: int) -> list[int]:
    """Return a process and all its descendants."""
    children: list[int] = []
    with suppress(FileNotFoundError):  # it ended meanwhile
        for task in Path(f"/proc/{number}/task").iterdir():
            children += [int(each) for each in (task / "children").read_text().split()]
    return [number, *(each for child in children for each in family(child))]


@contextmanager
def run_server(
    command: Sequence[str] = SERVE, stderr: IO[bytes] | None = None, **settings: Any
) -> Iterator[ServerProcess]:
    """Run a server on a free port; yield it once its models are loaded. Settings reach it as AGELENS_ variables.

    Its standard error goes to `stderr`, by default to that of this process.
    """
    variables = {f"AGELENS_{name.upper()}": str(value) for name, value in settings.items()}
    environment = clean_environment(**{"AGELENS_PORT": "0", "AGELENS_THREADS": "1", **variables})
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
    ) as process:
        try:
            running = ServerProcess(process)
            running.wait_for("ready")
            yield running
        finally:
            process.kill()
