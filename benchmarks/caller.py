"""One kept HTTP/1.1 connection on asyncio streams: cheap enough for hundreds of clients on one core."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and seconds of one answer."""

    status: int
    body: bytes
    seconds: float


class Caller:
    """A connection to a server on this machine; it opens again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def get(self, path: str) -> Answer:
        return await self.ask(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())

    async def post(self, path: str, body: bytes, media: str = "image/jpeg") -> Answer:
        return await self.ask(post_request(path, body, media))

    async def ask(self, request: bytes) -> Answer:
        """Send the bytes of a whole request and read its answer."""
        began = time.perf_counter()
        if self._writer is None or self._reader is None or self._reader.at_eof() or self._writer.is_closing():
            self._close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        try:
            self._writer.write(request)
            await self._writer.drain()
            status, body = await _answer(self._reader)
        except BaseException:
            self._close()
            raise
        return Answer(status, body, time.perf_counter() - began)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def post_request(path: str, body: bytes, media: str) -> bytes:
    """Build the bytes of a whole request."""
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    return int(status_line.split()[1]), await reader.readexactly(int(headers["content-length"]))
