"""Who calls, and whether they still wait. Dependencies are coroutines: FastAPI sends others through a thread pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.types import Receive

from service.runtime import Runtime


def runtime_of(request: Request) -> Runtime:
    """Return the runtime of the app that the request came to."""
    runtime: Runtime = request.app.state.runtime
    return runtime


async def identified(request: Request) -> str | None:
    """Return the caller's key, None where none is needed; raise KeyRejected."""
    return runtime_of(request).keys.identify(request.headers)


async def within_rate(request: Request, key: Annotated[str | None, Depends(identified)]) -> str | None:
    """Return the caller's key; raise RateExceeded where it asked too much already."""
    runtime_of(request).rates.check(key)
    return key


@asynccontextmanager
async def watched(receive: Receive, on_gone: Callable[[], None]) -> AsyncIterator[None]:
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
