"""Request bodies: forms or raw bytes, bounded in bytes, parts and time while they arrive, never on disk."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from service.api.json_picture import picture_in, unknown_field
from service.errors import (
    BodyTooLarge,
    ClientDisconnected,
    EmptyPicture,
    InvalidParameter,
    MalformedBody,
    UnsupportedBody,
)
from service.runtime.upload_budget import UploadBudget


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What a route accepts: pictures in `field`, limits of bytes and parts, and whether raw bytes are allowed."""

    field: str
    max_bytes: int
    max_parts: int = 1
    raw: bool = True

    @property
    def remedy(self) -> str:
        """What to do about a body that is too large."""
        return "scale the picture down" if self.max_parts == 1 else "send smaller batches"


class UploadReader:
    """Reads request bodies into memory within a budget for all of them together."""

    def __init__(self, budget: UploadBudget) -> None:
        """Take the budget that all bodies share."""
        self._budget = budget

    @asynccontextmanager
    async def receive(self, request: Request, limits: UploadLimits) -> AsyncIterator[list[Upload]]:
        """Read the request's pictures; their bytes count as buffered until the block is left.

        Raises:
            BodyTooLarge: more bytes or parts than `limits` allows.
            BodyTooSlow: not complete within the timeout.
            EmptyPicture: the body is empty; an empty part is detected when it is decoded.
            InvalidParameter: a form with a part of another name.
            MalformedBody, UnsupportedBody: not a form with pictures, and no picture by itself.
            QueueFull: other bodies take up the memory.
            ClientDisconnected: the client disconnected.
            NotReady: the service drains.
        """
        with self._budget.reserve() as reservation:

            def take(count: int) -> None:
                if reservation.taken_bytes + count > limits.max_bytes:
                    raise BodyTooLarge(f"the body has more than {limits.max_bytes:,} bytes; {limits.remedy}")
                reservation.take(count)

            yield await self._read(request, limits, take)

    async def _read(self, request: Request, limits: UploadLimits, take: Callable[[int], None]) -> list[Upload]:
        announced = _announced_bytes(request.headers)
        if announced == 0:
            raise EmptyPicture(_NO_BODY)
        if announced is not None and announced > limits.max_bytes:
            most = f"at most {limits.max_bytes:,} are accepted"
            raise BodyTooLarge(f"the body has {announced:,} bytes; {most}; {limits.remedy}")
        collect = _collector(request, limits)
        try:
            async with self._budget.receiving_body():
                return await collect(request, take)
        except ClientDisconnect as error:
            raise ClientDisconnected("the client disconnected while sending") from error


Take = Callable[[int], None]


def _collector(request: Request, limits: UploadLimits) -> Callable[[Request, Take], Awaitable[list[Upload]]]:
    """Return the reader of the request's content type."""
    codings = request.headers.get("content-encoding", "identity").lower().split(",")
    if any(coding.strip() != "identity" for coding in codings):
        raise UnsupportedBody("a compressed body is not read; send it without Content-Encoding")
    try:
        kind, options = parse_options_header(request.headers.get("content-type"))
    except (UnicodeError, ValueError) as error:
        raise MalformedBody("the Content-Type header cannot be read") from error
    if kind == b"multipart/form-data":
        if not options.get(b"boundary"):
            raise MalformedBody("the Content-Type names no multipart boundary")
        return partial(_collect_form, MultipartImages(options[b"boundary"], limits.field, limits.max_parts))
    if limits.raw and (kind.startswith(b"image/") or kind == b"application/octet-stream"):
        return _collect_raw
    if limits.raw and kind == b"application/json":
        return _collect_json
    raw = (
        ", or the bytes themselves as image/jpeg, image/png, image/webp or image/avif, or JSON with `image` in base64"
        if limits.raw
        else ""
    )
    named = f"the Content-Type is {kind.decode('latin-1')[:64]}" if kind else "there is no Content-Type"
    raise UnsupportedBody(
        f"{named}; send multipart/form-data with a part `{limits.field}`, in curl -F {limits.field}=@photo.jpg{raw}"
    )


_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_LONGEST_PATH: Final = 4096
_NO_BODY: Final = "the body is empty (0 bytes); send a picture in it"


def _announced_bytes(headers: Headers) -> int | None:
    """Return the Content-Length, 0 without one, or None if the length is only known at the body's end."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    return int(length) if _LENGTH.fullmatch(length) else None


async def _collect_form(form: MultipartImages, request: Request, take: Take) -> list[Upload]:
    async for chunk in request.stream():
        take(len(chunk))
        form.feed(chunk)
    if not form.bytes_fed:
        raise EmptyPicture(_NO_BODY)
    return form.finish()


async def _collect_raw(request: Request, take: Take) -> list[Upload]:
    content = bytearray()
    async for chunk in request.stream():
        take(len(chunk))
        content += chunk
    if not content:
        raise EmptyPicture(_NO_BODY)
    return [Upload(bytes(content))]


async def _collect_json(request: Request, take: Take) -> list[Upload]:
    (body,) = await _collect_raw(request, take)
    return [Upload(await asyncio.to_thread(picture_in, body.data))]


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of one picture and the name its sender gave it, which no log may show."""

    data: bytes
    filename: str | None = None


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    filename: str | None = None
    content: list[bytes | bytearray] = field(default_factory=list)


_LARGE_PIECE: Final = 4096  # bytes; smaller ones are put together, or each would be an object as large as itself
_AS_IT_IS: Final = (b"binary", b"8bit", b"7bit")


class MultipartImages:
    """Parses a form chunk by chunk; `finish` returns the parts named `name`, in order."""

    def __init__(self, boundary: bytes, name: str, max_parts: int) -> None:
        """Start a form; raise MalformedBody for a boundary that no form can have."""
        self.bytes_fed = 0
        self._parts = parts = _Parts(name, max_parts)
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": parts.begin,
                    "on_header_field": parts.header_name,
                    "on_header_value": parts.header_value,
                    "on_header_end": parts.header_end,
                    "on_headers_finished": parts.open,
                    "on_part_data": parts.data,
                    "on_part_end": parts.end,
                },
            )
        except FormParserError as error:
            raise MalformedBody("the multipart boundary is too long") from error

    def feed(self, chunk: bytes) -> None:
        """Parse one more chunk; raise MalformedBody, InvalidParameter or BodyTooLarge as soon as it is known."""
        self.bytes_fed += len(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedBody("the multipart body is malformed; let an HTTP library build it") from error

    def finish(self) -> list[Upload]:
        """Return the pictures; raise MalformedBody for a form that is cut short or has none."""
        if self._parser.state != MultipartState.END:
            raise MalformedBody("the multipart body ends before its closing boundary")
        if not self._parts.uploads:
            raise MalformedBody(f"the form has no part; send the picture as `{self._parts.label}`")
        return self._parts.uploads


class _Parts:
    """Collects the parts that a parser reports. It does not know the parser: no cycle keeps pictures in memory."""

    def __init__(self, name: str, max_parts: int) -> None:
        self.label = name
        self.uploads: list[Upload] = []
        self._name = name.encode()
        self._max_parts = max_parts
        self._part = _Part()

    def begin(self) -> None:
        self._part = _Part()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def header_end(self) -> None:
        part = self._part
        part.headers[bytes(part.header_name).lower()] = bytes(part.header_value)
        part.header_name, part.header_value = bytearray(), bytearray()

    def open(self) -> None:
        disposition = self._part.headers.get(b"content-disposition", b"")
        kind, options = parse_options_header(disposition)
        if kind != b"form-data" or b"name" not in options:
            raise MalformedBody("a part has no `Content-Disposition: form-data; name=...`")
        if options[b"name"] != self._name:
            raise InvalidParameter(unknown_field(options[b"name"].decode("utf-8", "replace"), "form", self.label))
        if self._part.headers.get(b"content-transfer-encoding", b"binary").lower() not in _AS_IT_IS:
            raise MalformedBody("a part has a Content-Transfer-Encoding; send its bytes as they are (RFC 7578)")
        if len(self.uploads) >= self._max_parts:
            remedy = "send several to /v1/predict/batch" if self.label == "file" else "send smaller batches"
            raise BodyTooLarge(f"more pictures than allowed here: at most {self._max_parts}; {remedy}")
        name = options.get(b"filename")
        self._part.filename = None if name is None else name.decode("utf-8", "replace")

    def data(self, data: bytes, start: int, end: int) -> None:
        content = self._part.content
        if end - start >= _LARGE_PIECE:
            content.append(data[start:end])
        elif content and isinstance(content[-1], bytearray):
            content[-1] += data[start:end]
        else:
            content.append(bytearray(data[start:end]))

    def end(self) -> None:
        part, self._part = self._part, _Part()
        content = b"".join(part.content)
        if part.filename is None and _is_text(content):
            label = self.label
            raise MalformedBody(f"the part `{label}` is text, not a file; with curl, write -F {label}=@photo.jpg")
        self.uploads.append(Upload(content, part.filename))


def _is_text(content: bytes) -> bool:
    """Whether a part is what curl sends where the @ before a file's name was forgotten."""
    if not 0 < len(content) <= _LONGEST_PATH:
        return False
    try:
        return content.decode().isprintable()
    except UnicodeError:
        return False
