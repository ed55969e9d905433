"""OpenTelemetry traces, if AGELENS_TRACES is on and the extra `otel` installed; otherwise spans do nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.propagate import extract
from opentelemetry.trace import NoOpTracerProvider, SpanKind, TracerProvider

from service.errors import InvalidSetting, needs_extra


class Tracer:
    """Records how long each stage of a request took."""

    def __init__(self, provider: TracerProvider) -> None:
        """Use one tracer of `provider` for all spans."""
        self._provider = provider
        self._tracer = provider.get_tracer("agelens")

    def close(self) -> None:
        """Export what is waiting; nothing is recorded afterwards."""
        if shutdown := getattr(self._provider, "shutdown", None):
            shutdown()

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Callable[[str, int], None]]:
        """Open a server span below that of `traceparent`; yield a function that ends it with route and status."""
        with self._tracer.start_as_current_span(method, extract(dict(headers)), SpanKind.SERVER) as span:

            def answered(route: str, status: int) -> None:
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {"http.request.method": method, "http.route": route, "http.response.status_code": status}
                )

            yield answered

    def stages(self, milliseconds: Mapping[str, float]) -> None:
        """Record the stages as spans one after another, the last ending now."""
        stages = {name: spent for name, spent in milliseconds.items() if name != "total"}
        at = time.time_ns() - int(sum(stages.values()) * 1e6)
        for name, spent in stages.items():
            span = self._tracer.start_span(name, start_time=at)
            at += int(spent * 1e6)
            span.end(at)


def open_tracer(enabled: bool) -> Tracer:
    """Return a tracer that exports by OTLP as the OTEL_* variables say, or one that records nothing.

    Raises InvalidSetting if traces are wanted and the extra is not installed.
    """
    if not enabled:
        return Tracer(NoOpTracerProvider())
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider as RecordingProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidSetting(needs_extra("AGELENS_TRACES", "otel")) from error
    name = os.environ.get("OTEL_SERVICE_NAME", "agelens")
    provider = RecordingProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)
