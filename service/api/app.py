"""Create the FastAPI app from settings; there is no app at module level."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import structlog
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from service.api.dependencies import current_key, within_rate
from service.api.middleware import (
    AdmissionMiddleware,
    LoggedCORSMiddleware,
    RequestContextMiddleware,
    ResponseHeadersMiddleware,
)
from service.api.openapi import describe
from service.api.problems import problem_of
from service.api.routes import metrics, models, pictures, probes
from service.api.static_files import docs_routes, sample_routes, web_routes
from service.errors import AgelensError
from service.runtime.loading import load
from service.runtime.state import Load, ServiceState
from service.settings import Settings, load_settings

_THREADS_END_S: Final = 5.0
log: Final = structlog.stdlib.get_logger("agelens.http")

_DESCRIPTION: Final = (
    "A photograph in, ages out: for each face a distribution over the ages 0 to 100, with the probability of being "
    "older than each, a variance and an interval. Errors are problem documents (RFC 9457)."
)


def create_app(settings: Settings | None = None, *, load_models: Load = load) -> FastAPI:
    """Create the app; models are loaded when it starts, and `/health/ready` is 503 until then.

    Args:
        settings: default: read from the environment.
        load_models: loads the models; tests pass another.

    Raises:
        InvalidSetting: a setting cannot be used.
    """
    settings = settings or load_settings()
    state = ServiceState(settings, load_models)
    app = FastAPI(
        title="agelens",
        version=version("agelens"),
        summary="Age estimation with a distribution for each face",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        lifespan=_lifespan(state),
        middleware=_middleware(state),
    )
    app.state.service = state
    keyed = state.keys.required
    for prefix in ("/v1", ""):  # the stable paths, and the same without a version for older clients
        for router, allowed in ((pictures, within_rate), (models, current_key)):
            keys = [Depends(allowed)] if keyed else []
            app.include_router(router, prefix=prefix, dependencies=keys, include_in_schema=bool(prefix))
    app.include_router(probes)
    app.include_router(metrics)
    for error in (AgelensError, HTTPException, RequestValidationError):
        app.add_exception_handler(error, _problem_response)
    app.openapi = _document(app, state)  # type: ignore[method-assign]  # as FastAPI's manual has it
    documented = docs_routes() if settings.docs else []
    app.router.routes.extend([*web_routes(), *sample_routes(settings.models_folder), *documented])
    return app


def _lifespan(state: ServiceState) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(state.start())
        yield
        starting.cancel()
        state.drain()
        await asyncio.to_thread(state.pool.stop, 0.0 if state.pool.running else _THREADS_END_S)
        await asyncio.to_thread(state.tracer.close)

    return lifespan


def _middleware(state: ServiceState) -> list[Middleware]:
    layers = [
        Middleware(ResponseHeadersMiddleware),
        Middleware(AdmissionMiddleware, state=state),
        Middleware(RequestContextMiddleware, metrics=state.metrics, tracer=state.tracer),
    ]
    if origins := state.settings.cors_origins:
        layers.insert(
            1,
            Middleware(
                LoggedCORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "x-api-key", "x-request-id"],
                expose_headers=["retry-after", "x-request-id"],
            ),
        )
    return layers


async def _problem_response(request: Request, error: Exception) -> Response:
    problem = problem_of(error, request.state.request_id, request.url.path)
    request.app.state.service.metrics.rejected.labels(problem.kind.slug).inc()
    request.state.facts = {"problem": problem.kind.slug}
    if problem.kind.status == 500:
        log.critical("request_failed", exc_info=error)
    return problem.response()


def _document(app: FastAPI, state: ServiceState) -> Callable[[], dict[str, Any]]:
    @cache
    def document(*models: str) -> dict[str, Any]:
        return describe(app, state.settings, models)

    return lambda: document(*sorted(state.loaded.models if state.loaded else ()))
