from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span

from service.errors import InvalidSetting
from service.runtime.tracing import Tracer, open_tracer
from tests.service.doubles import grey, load_double
from tests.service.running import LiveServer

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MS = {"queue": 1.0, "decode": 2.0, "detect": 3.0, "crop": 0.5, "estimate": 4.0, "total": 9.5}


def spans_of_a_request() -> dict[str, ReadableSpan]:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = Tracer(provider)
    with tracer.request("POST", {"traceparent": PARENT}) as answered:
        tracer.stages(MS)
        answered("/predict", 200)
    return {span.name: span for span in kept.get_finished_spans()}


def test_request_continues_the_callers_trace() -> None:
    request = spans_of_a_request()["POST /predict"]
    assert request.parent is not None
    assert f"{request.parent.trace_id:032x}" == PARENT.split("-")[1]
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200


def test_each_stage_has_a_span_of_its_length_one_after_another() -> None:
    spans = spans_of_a_request()
    request = spans.pop("POST /predict")
    assert list(spans) == ["queue", "decode", "detect", "crop", "estimate"]
    edges = [(span.start_time or 0, span.end_time or 0) for span in spans.values()]
    assert [round((end - start) / 1e6, 1) for start, end in edges] == [1.0, 2.0, 3.0, 0.5, 4.0]
    assert all(first[1] == second[0] for first, second in pairwise(edges))
    assert all(span.parent and span.parent.span_id == request.context.span_id for span in spans.values())


def test_the_app_tells_one_span_for_a_request_one_for_each_stage_and_the_rest_at_its_end(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(kept, schedule_delay_millis=3_600_000))
    monkeypatch.setattr("service.runtime.state.open_tracer", lambda _: Tracer(provider))
    with LiveServer(load_double(models_dir)) as server, server.client() as client:
        assert client.post("/predict", files={"file": grey()}).status_code == 200
        assert kept.get_finished_spans() == ()
    told = Counter(span.name for span in kept.get_finished_spans())
    assert told["POST /predict"] == 1
    assert set(told.values()) == {1}
    assert {"queue", "decode", "detect"} <= set(told)


def test_traces_are_off_unless_wanted() -> None:
    tracer = open_tracer(enabled=False)
    with tracer.request("POST", {}) as answered:
        assert not get_current_span().is_recording()
        answered("/predict", 200)
    tracer.close()


def test_traces_without_the_extra_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidSetting, match="make extras EXTRAS=otel"):
        open_tracer(enabled=True)
