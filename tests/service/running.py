"""Servers that really listen: one in a thread, for gates; one in a process of its own, for signals."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Self

import httpx

from service.runtime import Load, Runtime
from service.server import DrainingServer, make_server
from service.settings import Settings

ROOT = Path(__file__).parents[2]


class LiveServer:
    """The whole server in a thread of this process."""

    def __init__(self, load: Load, **settings: Any) -> None:
        self.settings = Settings(**{"threads": 1, **settings})
        self.server: DrainingServer = make_server(self.settings, load)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._settled = threading.Event()
        self.kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    @property
    def runtime(self) -> Runtime:
        runtime: Runtime = self.server.config.app.state.runtime  # type: ignore[union-attr]  # the app is ours
        return runtime

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._settled.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.kept:
            connection.close()
        self.server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **options)

    def connect(self, *sent: bytes) -> socket.socket:
        """Open a bare connection and send bytes on it."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        for part in sent:
            connection.sendall(part)
        return connection

    def _run(self) -> None:
        async def serve() -> None:
            serving = asyncio.create_task(self.server.serve(sockets=[self._listener]))
            await self.runtime.settled.wait()
            self._settled.set()
            await serving

        asyncio.run(serve())


def status_on(connection: socket.socket) -> int:
    """Read one whole answer and return its status."""
    with HTTPResponse(connection) as answer:
        answer.begin()
        answer.read()
        return answer.status


class ServerProcess:
    """`agelens serve`, or a double of it, as a process; its log is read as it comes, or the pipe would fill up."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._unread: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.port = int(self.wait_for("listening")["port"])
        self.url = f"http://127.0.0.1:{self.port}"

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log up to a line with this event."""
        while (text := self._unread.get(timeout=120)) is not None:
            line: dict[str, Any] = json.loads(text)
            self.lines.append(line)
            if line["event"] == event:
                return line
        raise AssertionError(f"the server ended without saying {event}: {self.lines}")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Return the exit status once the log has ended."""
        self._reader.join(120)
        return self.process.wait(120)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._unread.put(text)
        self._unread.put(None)


@contextmanager
def server_process(models_dir: Path, *, gate: Path | None = None, **settings: Any) -> Iterator[ServerProcess]:
    """Run the server with the doubles' detector; with `gate`, a FIFO, it waits there before each picture."""
    variables = {f"AGELENS_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "tests.service.double_server", str(models_dir), *([str(gate)] if gate else [])]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AGELENS_")}
    environment = {**clean, "AGELENS_PORT": "0", "AGELENS_THREADS": "1", **variables}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            running = ServerProcess(process)
            running.wait_for("ready")
            yield running
        finally:
            process.kill()
