"""Check what the parser does not of a request's head (RFC 9110, 9112); join its lists; remove its Upgrade header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values, in the order they came."""

_HOST: Final = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-fv:.%\w-]+\])(?::\d*)?")
_LISTS: Final = frozenset(
    {b"accept", b"access-control-request-headers", b"baggage", b"content-encoding", b"if-none-match", b"tracestate"}
)
"""The headers that something here reads as a list."""
_MOST_LENGTH_DIGITS: Final = 18
"""Most digits of a Content-Length: a number of 60 bits, more than any real body has."""


def head_fault(method: bytes, version: str, headers: RawHeaders) -> tuple[int, str] | None:
    """Return the status and the text to refuse a head with, or None if it is valid."""
    if version not in ("1.0", "1.1"):
        status = 505 if version.startswith("2") else 400
        return status, f"HTTP/{version} is not supported; send HTTP/1.1"
    if method == b"CONNECT":
        return 501, "CONNECT is not supported; this is not a proxy"
    return _host_fault(version, _values(headers, b"host")) or _length_fault(version, headers)


def with_lists_joined(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Return the headers with each list in one line, at its first one's place (RFC 9110, section 5.3)."""
    lists = {name: b", ".join(_values(headers, name)) for name in _LISTS.intersection(name for name, _ in headers)}
    return [(name, lists.pop(name, value)) for name, value in headers if name in lists or name not in _LISTS]


def without_upgrade(method: bytes, url: bytes, version: str, headers: RawHeaders) -> bytes:
    """Write a parsed head again without its Upgrade header, which a server may ignore (RFC 9110, section 7.8)."""
    kept = b"".join(b"%s: %s\r\n" % field for field in headers if field[0] != b"upgrade")
    return b"%s %s HTTP/%s\r\n%s\r\n" % (method, url, version.encode(), kept)


def _host_fault(version: str, hosts: Sequence[bytes]) -> tuple[int, str] | None:
    """Check the Host header (RFC 9112, section 3.2)."""
    if len(hosts) > 1:
        return 400, "the request has more than one Host header; send one"
    if not hosts and version == "1.1":
        return 400, "the request has no Host header; HTTP/1.1 requires one"
    if hosts and not _HOST.fullmatch(hosts[0].strip(b" \t")):
        return 400, "the Host header is not a host name or address with an optional port"
    return None


def _length_fault(version: str, headers: RawHeaders) -> tuple[int, str] | None:
    """Check the body's framing (RFC 9112, section 6); the parser refuses two lengths, or a length with an encoding."""
    if any(len(length) > _MOST_LENGTH_DIGITS for length in _values(headers, b"content-length")):
        return 400, f"the Content-Length has more than {_MOST_LENGTH_DIGITS} digits"
    for coding in _values(headers, b"transfer-encoding"):
        if version == "1.0":
            return 400, "HTTP/1.0 has no Transfer-Encoding; send a Content-Length"
        if coding.lower() != b"chunked":
            return 501, "the only Transfer-Encoding that is read is chunked"
    return None


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]
