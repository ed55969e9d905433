"""Puts an app together from settings; nothing lives at module level."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.api_document import describe
from service.cross_origin import CrossOrigin
from service.envelope import Envelope
from service.errors import AgelensError
from service.loading import load
from service.pages import docs_routes, web_routes
from service.problems import problem_of
from service.routes import metrics, models, pictures, probes
from service.runtime import Load, Runtime
from service.settings import Settings, load_settings
from service.turnstile import Turnstile

_THREADS_END_S: Final = 5.0
log: Final = structlog.stdlib.get_logger("agelens.http")

_DESCRIPTION: Final = (
    "A photograph in, ages out: for each face a distribution over the ages 0 to 100, with the probability of being "
    "older than each, a variance and an interval. Errors are problem documents (RFC 9457)."
)


def create_app(settings: Settings | None = None, *, load_models: Load = load) -> FastAPI:
    """Make an app; its models are loaded when it starts, and until then `/health/ready` says 503.

    Args:
        settings: read from the environment where there are none.
        load_models: how models are found; another one stands in for tests.

    Raises:
        SettingWrong: a setting cannot be used.
    """
    settings = settings or load_settings()
    runtime = Runtime(settings, load_models)
    app = FastAPI(
        title="agelens",
        version=version("agelens"),
        summary="Age estimation with a distribution for each face",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(runtime),
        middleware=_middleware(runtime),
    )
    app.state.runtime = runtime
    for router in (pictures, models, probes, metrics):
        app.include_router(router)
    for error in (AgelensError, HTTPException):
        app.add_exception_handler(error, _say_problem)
    if settings.docs:
        _document(app, runtime)
    app.router.routes.extend(web_routes())
    return app


def _lifespan(runtime: Runtime) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(runtime.start())
        yield
        starting.cancel()
        runtime.drain()
        await asyncio.to_thread(runtime.engine.stop, 0.0 if runtime.engine.running else _THREADS_END_S)
        await asyncio.to_thread(runtime.tracer.close)

    return lifespan


def _middleware(runtime: Runtime) -> list[Middleware]:
    layers = [
        Middleware(Turnstile, runtime=runtime),
        Middleware(Envelope, metrics=runtime.metrics, tracer=runtime.tracer),
    ]
    if origins := runtime.settings.cors_origins:
        layers.insert(
            0,
            Middleware(
                CrossOrigin,
                allow_origins=list(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "x-api-key", "x-request-id"],
                expose_headers=["retry-after", "x-request-id"],
            ),
        )
    return layers


async def _say_problem(request: Request, error: Exception) -> Response:
    problem = problem_of(error, request.state.request_id, request.url.path)
    request.app.state.runtime.metrics.rejected.labels(problem.kind.slug).inc()
    request.state.facts = {"problem": problem.kind.slug}
    if problem.kind.status == 500:
        log.critical("request_failed", exc_info=error)
    return problem.response()


def _document(app: FastAPI, runtime: Runtime) -> None:
    @cache
    def document(*models: str) -> dict[str, Any]:
        return describe(app, runtime.settings, keys_required=runtime.keys.required, models=models)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document(*sorted(runtime.loaded.models if runtime.loaded else ())))

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.router.routes.extend(docs_routes())
