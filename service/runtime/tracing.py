"""OpenTelemetry traces where the extra `otel` is installed and switched on; otherwise nothing at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from service.errors import InvalidSetting

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span


class RequestSpan(Protocol):
    """The span of one HTTP request."""

    def end(self, route: str, status: int) -> None:
        """Name the span after its route and say how it ended."""
        ...


class Tracer(Protocol):
    """What the service tells of where time goes."""

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """Open a span around one request, continuing the caller's trace."""
        ...

    def stages(self, milliseconds: Mapping[str, float]) -> None:
        """Tell the stages of a picture that was just answered, in the order they ran."""
        ...

    def close(self) -> None:
        """Tell what is still untold."""
        ...


class NoTracer:
    """Tells nothing."""

    @contextmanager
    def request(self, _method: str, _headers: Mapping[str, str]) -> Iterator[RequestSpan]:
        """Open no span."""
        yield self

    def end(self, route: str, status: int) -> None:
        """Say nothing."""

    def stages(self, milliseconds: Mapping[str, float]) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class SpanTracer:
    """Tells an OpenTelemetry tracer."""

    def __init__(self, provider: TracerProvider) -> None:
        """Use one tracer of `provider` for all spans."""
        self._provider = provider
        self._tracer = provider.get_tracer("agelens")

    def close(self) -> None:
        """Export what is waiting; nothing is told afterwards."""
        self._provider.shutdown()

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[RequestSpan]:
        """Open a server span, a child of the one that `traceparent` names."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(method, extract(dict(headers)), SpanKind.SERVER) as span:
            yield _Ended(span, method)

    def stages(self, milliseconds: Mapping[str, float]) -> None:
        """Lay the stages one after another so that the last ends now."""
        stages = {name: spent for name, spent in milliseconds.items() if name != "total"}
        at = time.time_ns() - int(sum(stages.values()) * 1e6)
        for name, spent in stages.items():
            span = self._tracer.start_span(name, start_time=at)
            at += int(spent * 1e6)
            span.end(at)


class _Ended:
    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def end(self, route: str, status: int) -> None:
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes(
            {"http.request.method": self._method, "http.route": route, "http.response.status_code": status}
        )


def open_tracer(enabled: bool) -> Tracer:
    """Return a tracer that exports by OTLP as the OTEL_* variables say, or one that does nothing.

    Raises InvalidSetting where traces are wanted and the extra is not installed.
    """
    if not enabled:
        return NoTracer()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidSetting("AGELENS_TRACES needs the extra: pip install 'agelens[otel]'") from error
    name = os.environ.get("OTEL_SERVICE_NAME", "agelens")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return SpanTracer(provider)
