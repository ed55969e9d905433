"""Connections that cannot be abused: heads and answers have time limits, and the number of connections a bound."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.middleware import SECURITY_HEADERS, new_request_id
from service.api.problems import MEDIA_TYPE, plain_problem
from service.settings import Settings

_LINGERING: Final = 100
"""Refused connections beyond the limit that may stay open to read their answer; more are just dropped."""
_LINGER_S: Final = 1.0


@dataclass(slots=True)
class ConnectionLimits:
    """The connections that wait for their caller, the longest waiting first."""

    settings: Settings
    waiting: dict[LimitedHttpProtocol, None] = field(default_factory=dict)

    def make_room(self) -> bool:
        """Drop the connection that has waited longest for its caller; say whether there was one."""
        longest = next(iter(self.waiting), None)
        if longest is None:
            return False
        longest.drop()
        return True


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits it lacks; `protocol_for` makes the class that a server is given.

    A connection waits for its caller from its start or the last answer until a request is complete. At the limit of
    connections the one that has waited longest gives way, so that slow callers cannot shut others out.
    """

    crowd: ConnectionLimits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Take the connection if there is room."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_body = False
        self._refused = False
        self._clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None
        excess = len(self.connections) - self.crowd.settings.max_connections
        if excess > _LINGERING:
            self.drop()
            return
        if excess > 0 and not self.crowd.make_room():
            self._refuse(503, "too many connections are open; ask again in a moment")
            return
        self.crowd.waiting[self] = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.crowd.waiting.pop(self, None)
        self._stop_clock()
        for timer in (self._write_clock, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and end a head that grows beyond its limit."""
        if self._refused:
            return
        if self._clock is None and not self._in_body:
            self._expect_head()
        super().data_received(data)
        if self._clock is not None and not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > self.crowd.settings.max_header_bytes:
                self._refuse(431, f"the head has more than {self.crowd.settings.max_header_bytes:,} bytes")

    def on_headers_complete(self) -> None:
        """Stop the clock of the head."""
        self._stop_clock()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Count the connection as waiting no more: now the service works."""
        self._stop_clock()
        self._in_body = False
        if not self.cycle.response_complete:
            self.crowd.waiting.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the caller again; the rest of a body that was refused early is dropped for a while only."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self.crowd.waiting[self] = None
        if self._in_body:
            self._clock = self.loop.call_later(self.crowd.settings.header_timeout_s, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, at once if its caller does not even read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """Start the clock of an answer that its caller does not read."""
        super().pause_writing()
        self._write_clock = self.loop.call_later(self.crowd.settings.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None

    def send_400_response(self, _msg: str) -> None:
        """Answer what is not HTTP with a problem document too."""
        if not self._refused and not self.transport.is_closing():
            self._refuse(400, "this is not a valid HTTP/1.1 request")

    def drop(self) -> None:
        """End the connection at once."""
        self.crowd.waiting.pop(self, None)
        self.transport.abort()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._clock = self.loop.call_later(self.crowd.settings.header_timeout_s, self._head_too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _head_too_slow(self) -> None:
        self._clock = None
        if self._head_bytes:
            self._refuse(408, "the request's head did not arrive in time")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Say a problem without the app, and close once the caller has had time to read it.

        What the caller still sends is dropped until then: closing on unread bytes would reset the connection and
        take the answer with it (RFC 9112, section 9.6).
        """
        self._stop_clock()
        self._refused = True
        self.transport.write(_refusal(status, detail))
        self.transport.write_eof()
        self._clock = self.loop.call_later(_LINGER_S, self.transport.abort)


def protocol_for(settings: Settings) -> type[LimitedHttpProtocol]:
    """Return a protocol class whose connections share one limit."""
    return type("BoundProtocol", (LimitedHttpProtocol,), {"crowd": ConnectionLimits(settings)})


_CLOSE: Final = (("content-type", MEDIA_TYPE), ("connection", "close"))


def _refusal(status: int, detail: str) -> bytes:
    request_id = new_request_id()
    document: dict[str, Any] = plain_problem(status, detail, request_id).document()
    body = json.dumps(document).encode()
    headers = [*_CLOSE, *SECURITY_HEADERS.items(), ("x-request-id", request_id), ("content-length", str(len(body)))]
    if status == 503:
        headers.append(("retry-after", "1"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return STATUS_LINE[status] + lines.encode() + b"\r\n" + body
