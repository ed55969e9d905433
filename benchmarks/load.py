"""A client that costs little: keep-alive connections that post one prepared request again and again."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.bound import CONTENT_TYPE, form

WARM_UP: Final = 5


class Connection:
    """One connection to a server on this machine."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port, self._request = port, request

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)

    async def post(self) -> float:
        """Post once and return the seconds it took; end the program where the answer is not 200."""
        began = time.perf_counter()
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = next(line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        body = await self._reader.readexactly(int(length))
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"port {self._port} answered {head.decode()} {body[:500]!r}")
        return time.perf_counter() - began

    def close(self) -> None:
        self._writer.close()


def request_for(picture: bytes) -> bytes:
    """Build the bytes of a whole request."""
    body = form(picture)
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\ncontent-type: " + CONTENT_TYPE
    return head + b"\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n" + body


async def saturate(port: int, request: bytes, clients: int, seconds: float) -> tuple[list[float], float]:
    """Let `clients` post one after the other; return latencies and the seconds they took together."""
    connections = [Connection(port, request) for _ in range(clients)]
    await asyncio.gather(*(connection.open() for connection in connections))
    for _ in range(WARM_UP):
        await connections[0].post()
    until = time.perf_counter() + seconds
    latencies: list[float] = []

    async def go_on(connection: Connection) -> None:
        while time.perf_counter() < until:
            latencies.append(await connection.post())

    began = time.perf_counter()
    await asyncio.gather(*(go_on(connection) for connection in connections))
    took = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return latencies, took


async def paced(port: int, request: bytes, per_second: float, seconds: float) -> tuple[list[float], float]:
    """Post at even intervals whether or not answers are there; a latency counts from when its turn was."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    count = int(per_second * seconds)
    for _ in range(min(count, 64)):
        connection = Connection(port, request)
        await connection.open()
        free.put_nowait(connection)
    began = time.perf_counter()

    async def turn(number: int) -> float:
        due = began + number / per_second
        await asyncio.sleep(due - time.perf_counter())
        connection = await free.get()
        await connection.post()
        free.put_nowait(connection)
        return time.perf_counter() - due

    latencies = await asyncio.gather(*(turn(number) for number in range(count)))
    return list(latencies), time.perf_counter() - began


def main() -> None:
    """PORT PICTURE saturate CLIENTS SECONDS, or PORT PICTURE paced PER_SECOND SECONDS; print latencies as JSON."""
    port, picture, how, amount, seconds = sys.argv[1:]
    request = request_for(Path(picture).read_bytes())
    if how == "saturate":
        latencies, took = asyncio.run(saturate(int(port), request, int(amount), float(seconds)))
    else:
        latencies, took = asyncio.run(paced(int(port), request, float(amount), float(seconds)))
    sys.stdout.write(json.dumps({"latencies_ms": [value * 1e3 for value in latencies], "seconds": took}) + "\n")


if __name__ == "__main__":
    main()
