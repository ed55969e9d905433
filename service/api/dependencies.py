"""Dependencies of the endpoints: service state, API key and rate limit; and a watch for disconnected clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Receive

from service.runtime.state import ServiceState


def state_of(request: Request) -> ServiceState:
    """Return the service state of the request's app."""
    state: ServiceState = request.app.state.service
    return state


_API_KEY: Final = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)
_BEARER: Final = HTTPBearer(scheme_name="Bearer", auto_error=False)


async def current_key(
    request: Request,
    api_key: Annotated[str | None, Security(_API_KEY)],
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> str | None:
    """Return the digest of the caller's API key, or None if none is required; raise KeyRejected."""
    return state_of(request).keys.identify(api_key or _bearer_key(request))


def _bearer_key(request: Request) -> str:
    """Return the key of `Authorization: Bearer`; FastAPI's would lose a last byte of UTF-8 that is a Latin-1 blank."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


async def within_rate(request: Request, key: Annotated[str | None, Depends(current_key)]) -> None:
    """Check the rate limit of the caller's key, kept as `request.state.key`; raise KeyRejected or RateExceeded."""
    state_of(request).rates.check(key)
    request.state.key = key


@asynccontextmanager
async def cancel_on_disconnect(receive: Receive, on_disconnect: Callable[[], None]) -> AsyncIterator[None]:
    """Call `on_disconnect` if the client disconnects within the block; the body must have been read before."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        on_disconnect()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
