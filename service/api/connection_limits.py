"""Limit the number of connections, and how long request heads and unread answers may take."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Final, NoReturn

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.middleware import SECURITY_HEADERS, new_request_id
from service.api.problems import MEDIA_TYPE, Problem, plain_problem
from service.api.request_head import head_fault, with_lists_joined, without_upgrade
from service.runtime.metrics import Metrics
from service.runtime.open_files import lingering_connections
from service.settings import Settings

_LINGER_S: Final = 1.0
"""Seconds for a caller to read a refusal that does not come in the middle of a body."""
_MOST_FRAMING_BYTES: Final = 2**20
"""Bytes of chunk sizes that a body may have beyond its own: a chunk of one byte takes five more, and a callback."""
_CALLBACK_BYTES: Final = 32
"""What a callback counts as: a body may go on in chunks of 37 bytes or more."""


@dataclass(slots=True)
class ConnectionLimits:
    """The connections that wait for their client, longest first."""

    settings: Settings
    metrics: Metrics
    waiting: dict[LimitedHttpProtocol, None] = field(default_factory=dict)

    @property
    def lingering(self) -> int:
        """Number of refused connections that may stay open to read the refusal; further ones are dropped."""
        return lingering_connections(self.settings.max_connections)

    def make_room(self) -> bool:
        """Drop the connection that has waited longest for its client; return whether there was one."""
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

    limits: ConnectionLimits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Take the connection if there is room."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._heads = 0
        self._in_head = False
        self._in_body = False
        self._silent_bytes = self._framing_bytes = self._dropped_bytes = 0
        self._upgrade_asked = False
        self._unanswered = 0
        self._fault: tuple[int, str] | None = None
        self._refusal: bytes | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None
        excess = len(self.connections) - self.limits.settings.max_connections
        if excess > self.limits.lingering:
            self.drop()
            return
        if excess > 0 and not self.limits.make_room():
            self._refuse(503, "too many connections are open; try again in a moment")
            return
        self.limits.waiting[self] = None
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.limits.waiting.pop(self, None)
        self._stop_clock()
        for timer in (self._write_clock, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        if self.cycle is not None:
            self.cycle.transport = self.transport  # no circle of references is left

    def data_received(self, data: bytes) -> None:
        """Parse the bytes; refuse a head, or the chunk sizes and trailers of a body, that exceed the limit."""
        if self._refusal is not None:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > max(self.limits.settings.max_batch_bytes, self.limits.settings.max_body_bytes):
                self.drop()
            return
        self._unset_keepalive_if_required()
        if self._clock is None and not self._in_body:
            self._start_clock()
        began_in, began_body = self._heads + (not self._in_head), self._in_body
        self._silent_bytes += len(data)
        self._framing_bytes += len(data)
        if not self._parse(data):
            return
        if self._in_head and self._heads == began_in and not began_body:
            self._received_bytes += len(data)
            if self._received_bytes > self._most_head_bytes:
                self._refuse(*self._head_too_large())
        elif self._in_head and self._clock is None:
            self._start_clock()
        elif self._in_body and began_body and self._silent_bytes > self._most_head_bytes:
            self._refuse(431, f"more than {self._most_head_bytes:,} bytes of chunk sizes or trailers without a body")
        elif self._in_body and self._framing_bytes > _MOST_FRAMING_BYTES:
            self._refuse(400, "the sizes of the body's chunks take more bytes than the chunks; send larger chunks")

    def on_message_begin(self) -> None:
        """Count the bytes of a new head."""
        super().on_message_begin()
        self._in_head = True
        self._heads += 1
        self._head_bytes = self._received_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take the request's target, or a part of it."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; those behind a body are dropped (RFC 9110, section 6.5.1)."""
        self._count(len(name) + len(value) + 4)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer of the head, and start its request unless the head is refused or parsed again."""
        version = self.parser.get_http_version()
        if fault := head_fault(self.parser.get_method(), version, self.headers):
            self._stop_parsing(fault)
        if self.parser.should_upgrade():
            self._upgrade_asked = True
            return
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110, section 10.1.1
        self.headers[:] = with_lists_joined(self.headers)
        super().on_headers_complete()
        self.cycle.transport = _Transport(self)  # type: ignore[assignment]  # all of it that a cycle calls
        self._unanswered += 1
        self._stop_clock()
        self._in_head, self._in_body = False, True
        self._silent_bytes = self._framing_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Take bytes of the body."""
        self._silent_bytes = 0
        # Once as no framing, and once as what allows as much of it and a callback.
        self._framing_bytes += _CALLBACK_BYTES - 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop counting the connection as waiting: now the service works."""
        if self._upgrade_asked:
            return
        self._in_body = False
        if not self.cycle.response_complete:
            self.limits.waiting.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request; discard the rest of a body that was refused early, but not for long."""
        super().on_response_complete()
        self._unanswered -= 1
        if self.transport.is_closing():
            return
        if self._refusal is not None:
            if not self._unanswered:
                self._say_refusal()
            return
        self.limits.waiting[self] = None
        if self._in_body:
            self._clock = self.loop.call_later(self.limits.settings.header_timeout_s, self.transport.abort)

    def close(self) -> None:
        """Close after the answer that ends the connection; where it came early, read on before, but not for long."""
        if self._in_body and self.cycle.response_complete:
            self._refusal = b""
        else:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, at once if its caller does not even read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """Start the timer of an unread answer."""
        super().pause_writing()
        self._write_clock = self.loop.call_later(self.limits.settings.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer."""
        super().resume_writing()
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None

    def drop(self) -> None:
        """End the connection at once."""
        self.limits.waiting.pop(self, None)
        self.transport.abort()

    @property
    def _most_head_bytes(self) -> int:
        return self.limits.settings.max_header_bytes

    def _parse(self, data: bytes) -> bool:
        """Feed the parser; return False if the connection was refused. After an Upgrade a new parser goes on.

        The parser takes an upgraded request for one without a body, whatever its Content-Length says: it would go on
        with the body as the next request.
        """
        rest = memoryview(data)
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    rest = rest[upgrade.args[0] :]
                    self._upgrade_asked = False
                    head = without_upgrade(
                        self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
                    )
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
                    self.parser.feed_data(head)
        except httptools.HttpParserError:
            status, detail = self._fault or (400, "this is not a valid HTTP/1.1 request")
            self._refuse(status, detail)
        return self._refusal is None

    def _count(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > self._most_head_bytes:
            self._stop_parsing(self._head_too_large())

    def _head_too_large(self) -> tuple[int, str]:
        return 431, f"the head has more than {self._most_head_bytes:,} bytes"

    def _stop_parsing(self, fault: tuple[int, str]) -> NoReturn:
        """Raise, which is the only way to stop the parser from within its callback."""
        self._fault = fault
        raise ValueError(fault[1])

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(self.limits.settings.header_timeout_s, self._head_too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _head_too_slow(self) -> None:
        self._clock = None
        if self._in_head:
            self._refuse(408, "the request's head did not arrive in time")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Read no more requests, answer the complete ones, then send a problem document without the app."""
        self._stop_clock()
        problem = plain_problem(status, detail, new_request_id())
        self.limits.metrics.rejected.labels(problem.kind.slug).inc()
        self._refusal = _written(problem)
        if self._in_body:
            self._abandon()
        if not self._unanswered:
            self._say_refusal()

    def _abandon(self) -> None:
        """Abandon the request with the faulty body: the refusal is its answer, unless that has begun."""
        if self.cycle.response_started:
            self._refusal = b""
        if self.cycle.response_complete:
            return
        self._unanswered -= 1
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _say_refusal(self) -> None:
        """Write the last answer, and close once the caller has had time to read it.

        What the caller still sends is dropped until then, up to the bytes of the largest body: closing on unread bytes
        would reset the connection and take the answer with it (RFC 9112, section 9.6).
        """
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self.transport.write(self._refusal or b"")
        self.transport.write_eof()
        linger_s = self.limits.settings.header_timeout_s if self._in_body else _LINGER_S
        self._clock = self.loop.call_later(linger_s, self.transport.abort)


class _Transport:
    """What a request's cycle has of its connection: writing, and closing as the protocol does."""

    def __init__(self, protocol: LimitedHttpProtocol) -> None:
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing
        self.close = protocol.close


def protocol_for(settings: Settings, metrics: Metrics) -> type[LimitedHttpProtocol]:
    """Return a protocol class whose connections share one limit."""
    return type("BoundProtocol", (LimitedHttpProtocol,), {"limits": ConnectionLimits(settings, metrics)})


_CLOSE: Final = (("content-type", MEDIA_TYPE), ("connection", "close"))


def _written(problem: Problem) -> bytes:
    body = json.dumps(problem.document()).encode()
    told = [("x-request-id", problem.request_id), ("content-length", str(len(body)))]
    if problem.kind.status == 503:
        told.append(("retry-after", "1"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*_CLOSE, *SECURITY_HEADERS.items(), *told])
    return STATUS_LINE[problem.kind.status] + lines.encode() + b"\r\n" + body
