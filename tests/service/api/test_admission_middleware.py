from __future__ import annotations

import httpx
import pytest

from benchmarks.caller import post_request
from tests.service.conftest import MakeServer
from tests.service.doubles import Gate, grey
from tests.service.running import LiveServer

ORIGIN = {"origin": "https://a.example"}


@pytest.fixture
def full(make_server: MakeServer, gate: Gate) -> LiveServer:
    """A server whose only place is taken."""
    server = make_server(gated=True, queue_size=1, max_batch_parts=2, cors_origins="*")
    server.kept = [server.connect(post_request("/predict", grey(), "image/png")) for _ in range(2)]
    gate.wait_for()
    server.wait_until(waiting=1, running=1)
    return server


def test_full_service_refuses_with_a_whole_problem_document(full: LiveServer) -> None:
    reply = httpx.post(f"{full.url}/v1/predict", headers={"x-request-id": "mine"})
    assert (reply.status_code, reply.json()["type"]) == (503, "urn:agelens:problem:queue-full")
    assert reply.json()["request_id"] == reply.headers["x-request-id"] == "mine"
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_refusal_is_counted_but_not_logged(full: LiveServer, capfd: pytest.CaptureFixture[str]) -> None:
    httpx.post(f"{full.url}/predict/batch", headers={"x-request-id": "unlogged"})
    text = httpx.get(f"{full.url}/metrics").text
    assert 'http_requests_total{method="POST",route="/predict/batch",status="503"} 1.0' in text
    assert 'agelens_rejected_total{reason="queue-full"} 1.0' in text
    assert "unlogged" not in "".join(capfd.readouterr())


def test_page_of_another_origin_can_read_the_refusal(full: LiveServer) -> None:
    assert httpx.post(f"{full.url}/predict", headers=ORIGIN).headers["access-control-allow-origin"] == "*"


def test_everything_else_still_answers(full: LiveServer) -> None:
    for path in ("/", "/docs", "/openapi.json", "/models", "/metrics", "/health/ready"):
        assert httpx.get(f"{full.url}{path}").status_code == 200
