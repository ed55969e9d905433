"""Who calls, what they may, and whether they still wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from service.api.query import PredictQuery
from service.runtime.state import ServiceState


def state_of(request: Request) -> ServiceState:
    """Return the state of the app that the request came to."""
    state: ServiceState = request.app.state.service
    return state


async def identified(request: Request) -> str | None:
    """Return the caller's key, None where none is needed; raise KeyRejected."""
    return state_of(request).keys.identify(request.headers)


async def within_rate(request: Request) -> str | None:
    """Return the caller's key; raise KeyRejected, or RateExceeded where it asked too much already."""
    key = await identified(request)
    state_of(request).rates.check(key)
    return key


class PictureRoute(APIRoute):
    """A route that reads caller and query by itself; FastAPI only writes its description.

    Solving an endpoint's dependencies takes FastAPI a fifth of what a request costs besides its picture.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what is called for each request: who may ask comes before what they ask."""
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            request.state.key = await within_rate(request)
            response: Response = await endpoint(request, PredictQuery.read(request.query_params))
            return response

        return handle


@asynccontextmanager
async def cancel_on_disconnect(receive: Receive, on_gone: Callable[[], None]) -> AsyncIterator[None]:
    """Call `on_gone` if the caller hangs up within the block; the request's body must have been read before."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        on_gone()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
