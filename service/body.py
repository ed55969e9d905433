"""Receives request bodies: bounded in bytes, parts and time while they arrive, and never on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from service.errors import BodyTooLarge, BodyTooSlow, CallerGone, MalformedBody, NotReady, QueueFull, UnsupportedBody
from service.multipart import PictureForm, Upload


@dataclass(frozen=True, slots=True)
class Shape:
    """What a route takes: pictures under `field`, at most so many bytes and parts, raw bytes or only a form."""

    field: str
    max_bytes: int
    max_parts: int = 1
    raw: bool = True


class Intake:
    """The one place where bodies come in, so that all of them together stay under `max_buffered_bytes`."""

    def __init__(self, max_buffered_bytes: int, timeout_s: float) -> None:
        """Start with nothing buffered."""
        self._free_bytes = max_buffered_bytes
        self._timeout_s = timeout_s
        self._waiting: set[asyncio.Timeout] = set()
        self._hurried = False

    @property
    def receiving(self) -> int:
        """Number of bodies that are arriving."""
        return len(self._waiting)

    @asynccontextmanager
    async def receive(self, request: Request, shape: Shape) -> AsyncIterator[list[Upload]]:
        """Read the request's pictures; their bytes count as buffered until the block is left.

        Raises:
            BodyTooLarge: more bytes or parts than `shape` allows.
            BodyTooSlow: not complete within the timeout.
            MalformedBody, UnsupportedBody: not a form with pictures, and no picture by itself.
            QueueFull: other bodies take all of the memory.
            CallerGone: the caller hung up.
            NotReady: the service drains.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if taken + count > shape.max_bytes:
                raise BodyTooLarge(f"the body has more than {shape.max_bytes:,} bytes")
            if count > self._free_bytes:
                raise QueueFull("too many bodies are being received", retry_after_s=1)
            taken += count
            self._free_bytes -= count

        try:
            yield await self._read(request, shape, take)
        finally:
            self._free_bytes += taken

    def hurry(self) -> None:
        """Stop waiting for bodies that are still arriving: the service drains."""
        self._hurried = True
        now = asyncio.get_running_loop().time()
        for timeout in self._waiting:
            timeout.reschedule(now)

    async def _read(self, request: Request, shape: Shape, take: Callable[[int], None]) -> list[Upload]:
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > shape.max_bytes:
            raise BodyTooLarge(f"the body has {announced} bytes; at most {shape.max_bytes:,} are taken")
        form = _form_of(request, shape)
        try:
            async with asyncio.timeout(0 if self._hurried else self._timeout_s) as timeout:
                self._waiting.add(timeout)
                try:
                    return await (_collect_form(request, form, take) if form else _collect_raw(request, take))
                finally:
                    self._waiting.discard(timeout)
        except TimeoutError as error:
            if self._hurried:
                raise NotReady("the service is shutting down; ask another instance", retry_after_s=1) from error
            raise BodyTooSlow(f"the body did not arrive within {self._timeout_s:g} s") from error
        except ClientDisconnect as error:
            raise CallerGone("the caller hung up while sending") from error


def _form_of(request: Request, shape: Shape) -> PictureForm | None:
    """Return the form to fill, or None where the body itself is the picture."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedBody("a compressed body is not read; send it without Content-Encoding")
    try:
        kind, options = parse_options_header(request.headers.get("content-type"))
    except (UnicodeError, ValueError) as error:
        raise MalformedBody("the Content-Type header cannot be read") from error
    if kind == b"multipart/form-data":
        if not options.get(b"boundary"):
            raise MalformedBody("the Content-Type names no multipart boundary")
        return PictureForm(options[b"boundary"], shape.field, shape.max_parts)
    if shape.raw and (kind.startswith(b"image/") or kind == b"application/octet-stream"):
        return None
    raw = ", or the bytes themselves as image/jpeg, image/png or image/webp" if shape.raw else ""
    raise UnsupportedBody(f"send multipart/form-data with a part `{shape.field}`{raw}")


async def _collect_form(request: Request, form: PictureForm, take: Callable[[int], None]) -> list[Upload]:
    async for chunk in request.stream():
        take(len(chunk))
        form.feed(chunk)
    return form.finish()


async def _collect_raw(request: Request, take: Callable[[int], None]) -> list[Upload]:
    content = bytearray()
    async for chunk in request.stream():
        take(len(chunk))
        content += chunk
    return [Upload(bytes(content))]
