"""Refuses pictures while there is no place for them, before anything else is done: refusing must cost little."""

from __future__ import annotations

import time
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.envelope import RAW_SECURITY_HEADERS, request_id_of
from service.errors import AvailabilityError
from service.problems import problem_of
from service.runtime import Runtime

_PATHS: Final = frozenset({"/predict", "/predict/batch"})


class Turnstile:
    """ASGI middleware around everything: at ten times the service's capacity nine requests of ten end here.

    They are counted but not logged one by one: a flood of requests must not become a flood of log lines.
    """

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        """Guard `app`."""
        self._app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request or let it in."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in _PATHS:
            try:
                self._runtime.engine.probe()
            except AvailabilityError as error:
                await self._refuse(error, scope, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, error: AvailabilityError, scope: Scope, send: Send) -> None:
        began = time.monotonic()
        request_id = request_id_of(Headers(scope=scope))
        problem = problem_of(error, request_id, scope["path"])
        response = problem.response()
        headers = [*response.raw_headers, *RAW_SECURITY_HEADERS, (b"x-request-id", request_id.encode())]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(response.body)})
        metrics = self._runtime.metrics
        metrics.rejected.labels(problem.kind.slug).inc()
        metrics.saw_request("POST", scope["path"], response.status_code, time.monotonic() - began)
