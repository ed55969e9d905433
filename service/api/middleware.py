"""Middleware: request id, log line, metrics, security headers, unexpected errors, early refusal, CORS."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem_of
from service.errors import AvailabilityError, NotReady
from service.runtime.metrics import Metrics
from service.runtime.state import ServiceState
from service.runtime.tracing import Tracer

log: Final = structlog.stdlib.get_logger("agelens.http")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_QUIET: Final = ("/health/", "/metrics")
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
RAW_SECURITY_HEADERS: Final = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class ResponseHeadersMiddleware:
    """ASGI middleware around everything: adds the request id and the security headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store the request id in the request's state, and add headers to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, request_id)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class RequestContextMiddleware:
    """Open a trace span, count and log each request, and answer unexpected errors."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer) -> None:
        """Wrap `app`."""
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = scope["state"]["request_id"]
        # A HEAD is a GET whose content the server leaves out (RFC 9110, section 9.3.2).
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        began = time.monotonic()
        status = 499  # logged if the client disconnects before the response starts
        accounted = False

        def account() -> None:
            nonlocal accounted
            if not accounted:
                accounted = True
                self._account(scope, _route(inner), status, time.monotonic() - began)

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                account()  # before the client has the end: its next request then sees this one in the metrics
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            self._metrics.in_flight.track_inprogress(),
            self._tracer.request(scope["method"], headers) as answered,
        ):
            try:
                await self._app(inner, receive, send_and_note)
            except (Exception, asyncio.CancelledError) as error:
                reason = _uncaught(error)
                if status == 499:
                    await problem_of(reason, request_id, scope["path"]).response()(scope, receive, send_and_note)
            account()
            answered(_route(inner), status)

    def _account(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        self._metrics.saw_request(scope["method"], route, status, seconds)
        write = log.debug if route.startswith(_QUIET) else log.info
        facts = scope["state"].get("facts", {})
        write("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1), **facts)


def _uncaught(error: BaseException) -> Exception:
    """Log an uncaught exception and return the answer to it; only a forced shutdown cancels requests."""
    if isinstance(error, asyncio.CancelledError):
        return NotReady("the service ended before the answer was ready")
    log.error("request_failed", exc_info=error)
    return Exception()


def new_request_id() -> str:
    """Return a new ULID: 48 bits of milliseconds and 80 random bits as 26 digits of Crockford's base 32."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def request_id_of(headers: Headers) -> str:
    """Return the X-Request-ID of the request if it is safe to log, otherwise a new id."""
    given = headers.get("x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else new_request_id()


def _add_headers(message: Message, request_id: str) -> None:
    """Add the request id and the security headers that the response does not set itself."""
    given = message["headers"]
    names = {name for name, _ in given}
    always = [*RAW_SECURITY_HEADERS, (b"x-request-id", request_id.encode())]
    message["headers"] = [*given, *(header for header in always if header[0] not in names)]


def _route(scope: Scope) -> str:
    """Return the route's template, never the requested path: metrics keep few labels, logs no private data."""
    if "endpoint" in scope and not scope.get("path_params"):
        return str(scope["path"])  # a route without parameters, matched as it is written
    template = str(getattr(scope.get("route"), "path", "unmatched"))
    versioned = template.startswith("/") and str(scope["path"]).startswith("/v1/")  # the router has cut its prefix off
    return f"/v1{template}" if versioned and not template.startswith("/v1/") else template


class LoggedCORSMiddleware(CORSMiddleware):
    """Starlette's CORS middleware, which also logs why a preflight was refused: no browser shows its response."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        answer = super().preflight_response(request_headers)
        if answer.status_code >= 400:
            log.warning("cors_refused", origin=request_headers["origin"], reason=bytes(answer.body).decode())
        return answer


_PATHS: Final = frozenset({"/v1/predict", "/v1/predict/batch", "/predict", "/predict/batch"})


class AdmissionMiddleware:
    """Refuse predictions before anything else runs while the queue is full or the service is not ready.

    Refusals are counted but not logged one by one: a flood of requests must not become a flood of log lines.
    """

    def __init__(self, app: ASGIApp, state: ServiceState) -> None:
        """Wrap `app`."""
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request or pass it on."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in _PATHS:
            try:
                self._state.pool.probe()
            except AvailabilityError as error:
                await self._refuse(error, scope, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, error: AvailabilityError, scope: Scope, send: Send) -> None:
        began = time.monotonic()
        problem = problem_of(error, scope["state"]["request_id"], scope["path"])
        response = problem.response()
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": bytes(response.body)})
        metrics = self._state.metrics
        metrics.rejected.labels(problem.kind.slug).inc()
        metrics.saw_request("POST", scope["path"], response.status_code, time.monotonic() - began)
