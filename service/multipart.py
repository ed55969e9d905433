"""The wanted parts of a multipart/form-data body, collected in memory while it streams in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from service.errors import BodyTooLarge, MalformedBody

SPARE_PARTS: Final = 8
"""Parts of other names that a form may have besides; their bytes are dropped."""


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
    content: bytearray | None = None


class PictureForm:
    """Feed it the body's chunks; `uploads` of a finished form are the parts named `name`, in order."""

    def __init__(self, boundary: bytes, name: str, max_parts: int) -> None:
        """Start a form; raise MalformedBody for a boundary that no form can have."""
        self._name = name.encode()
        self._label = name
        self._max_parts = max_parts
        self._parts_seen = 0
        self._part = _Part()
        self._uploads: list[Upload] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._open,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedBody("the multipart boundary is too long") from error

    def feed(self, chunk: bytes) -> None:
        """Parse one more chunk; raise MalformedBody or BodyTooLarge as soon as it is known."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedBody("the multipart body is malformed; let an HTTP library build it") from error

    def finish(self) -> list[Upload]:
        """Return the pictures; raise MalformedBody for a form that is cut short or has none."""
        if self._parser.state != MultipartState.END:
            raise MalformedBody("the multipart body ends before its closing boundary")
        if not self._uploads:
            raise MalformedBody(f"the form has no part named `{self._label}`; send the picture under that name")
        return self._uploads

    def _begin(self) -> None:
        self._part = _Part()
        self._parts_seen += 1
        if self._parts_seen - len(self._uploads) > SPARE_PARTS + 1:
            raise MalformedBody(f"the form has too many parts; send only those named `{self._label}`")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _header_end(self) -> None:
        part = self._part
        part.headers[bytes(part.header_name).lower()] = bytes(part.header_value)
        part.header_name, part.header_value = bytearray(), bytearray()

    def _open(self) -> None:
        disposition = self._part.headers.get(b"content-disposition", b"")
        kind, options = parse_options_header(disposition)
        if kind != b"form-data" or b"name" not in options:
            raise MalformedBody("a part has no `Content-Disposition: form-data; name=...`")
        if options[b"name"] != self._name:
            return
        if len(self._uploads) >= self._max_parts:
            raise BodyTooLarge(f"more pictures than allowed here, which is {self._max_parts}")
        name = options.get(b"filename")
        self._part.filename = None if name is None else name.decode("utf-8", "replace")
        self._part.content = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.content is not None:
            self._part.content += memoryview(data)[start:end]

    def _end(self) -> None:
        if self._part.content is not None:
            self._uploads.append(Upload(bytes(self._part.content), self._part.filename))
        self._part = _Part()
