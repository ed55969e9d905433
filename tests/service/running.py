"""Servers that really listen, with the doubles: in a thread, for gates; in a process of its own, for signals."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

from service.api.server import DrainingServer, make_server
from service.runtime.state import Load, ServiceState
from service.settings import Settings
from tests.server_process import ServerProcess, run_server


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
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def state(self) -> ServiceState:
        state: ServiceState = self.server.config.app.state.service  # type: ignore[union-attr]  # the app is ours
        return state

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
        return connect(self.port, *sent)

    def wait_until(self, waiting: int, running: int) -> None:
        """Look again and again, since nothing announces it, until so many pictures wait for a thread and are in one."""
        queue, until = self.state.pool._admission, time.monotonic() + 60
        while True:
            with queue._changed:  # or a picture between the two would be counted twice
                found = queue.waiting, queue.running
            if found == (waiting, running):
                return
            assert time.monotonic() < until, f"waiting and running: {found}"
            time.sleep(0.005)

    def _run(self) -> None:
        async def serve() -> None:
            serving = asyncio.create_task(self.server.serve(sockets=[self._listener]))
            await self.state.settled.wait()
            self._settled.set()
            await serving

        asyncio.run(serve())


def connect(port: int, *sent: bytes) -> socket.socket:
    """Open a bare connection and send bytes on it."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    for part in sent:
        connection.sendall(part)
    return connection


def status_on(connection: socket.socket) -> int:
    """Read one whole answer and return its status."""
    return answer_on(connection)[0]


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one whole answer, and no byte of what follows it, and return status, headers and body."""
    with HTTPResponse(_NothingAhead(connection)) as answer:  # type: ignore[arg-type]  # only its makefile is called
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


class _NothingAhead:
    """A socket whose file reads no byte before it is asked for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> BinaryIO:
        return self._connection.makefile("rb", buffering=1)


@contextmanager
def server_process(models_dir: Path, *, gate: Path | None = None, **settings: Any) -> Iterator[ServerProcess]:
    """Run the server with the doubles' detector; with `gate`, a FIFO, it waits there before each picture."""
    command = [sys.executable, "-m", "tests.service.double_server", str(models_dir), *([str(gate)] if gate else [])]
    with run_server(command, **settings) as running:
        yield running
