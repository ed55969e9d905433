from __future__ import annotations

import json
import socket
from contextlib import ExitStack, suppress

import pytest

from benchmarks.caller import post_request
from service.api.schemas import ProblemReply
from tests.service.conftest import MakeServer
from tests.service.doubles import Gate, grey
from tests.service.running import status_on

LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


def everything(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def problem_in(answer: bytes) -> ProblemReply:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return ProblemReply.model_validate(json.loads(body))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_problem_and_the_end(make_server: MakeServer, garbage: bytes) -> None:
    with make_server().connect(garbage) as connection:
        assert problem_in(everything(connection)).status == 400


def test_head_that_does_not_end_is_408(make_server: MakeServer) -> None:
    with make_server(header_timeout_s=0.05).connect(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ") as connection:
        assert problem_in(everything(connection)).status == 408


def test_connection_that_says_nothing_is_closed(make_server: MakeServer) -> None:
    with make_server(header_timeout_s=0.05).connect() as connection:
        assert everything(connection) == b""


def test_second_head_on_a_connection_has_its_time_limit_too(make_server: MakeServer) -> None:
    with make_server(header_timeout_s=0.05).connect(LIVE) as connection:
        assert status_on(connection) == 200
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert problem_in(everything(connection)).status == 408


@pytest.mark.parametrize("flood", [b"GET /" + b"a" * 600_000, b"GET / HTTP/1.1\r\nx: " + b"a" * 600_000])
def test_endless_head_is_431(make_server: MakeServer, flood: bytes) -> None:
    with make_server().connect() as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(flood)
        assert problem_in(connection.recv(65536)).status == 431


def ended(connection: socket.socket) -> bool:
    """Whether the server has ended a connection: reset where it had not read all that came, else closed."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_longest_waiting_connection_gives_way_at_the_limit(make_server: MakeServer) -> None:
    server = make_server(max_connections=8)
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect(b"GET / HT")) for _ in range(8)]
        with server.connect(LIVE) as good:
            assert b" 200 " in good.recv(65536)
        assert ended(slow[0])


def test_connection_that_is_served_does_not_give_way(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, max_connections=8, queue_size=8, max_batch_parts=8)
    with ExitStack() as stack:
        served = [stack.enter_context(server.connect(post_request("/predict", grey(), "image/png"))) for _ in range(8)]
        server.wait_until(waiting=7, running=1)
        with server.connect(LIVE) as late:
            assert problem_in(everything(late)).status == 503
        gate.open()
        assert all(b" 200 " in connection.recv(65536) for connection in served)


def test_probes_answer_beside_slow_callers_and_a_full_queue(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, queue_size=1, max_batch_parts=2)
    with ExitStack() as stack, server.client() as client:
        for _ in range(50):
            stack.enter_context(server.connect(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n"))
        for _ in range(2):
            stack.enter_context(server.connect(post_request("/predict", grey(), "image/png")))
        gate.wait_for()
        server.wait_until(waiting=1, running=1)
        assert client.post("/predict", files={"file": grey()}).status_code == 503
        for path in ("/health/live", "/health/ready", "/health/startup", "/metrics"):
            assert client.get(path).status_code == 200


def test_caller_who_hangs_up_frees_the_place_in_the_queue(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, deadline_s=3600)
    with server.connect(post_request("/predict", grey(), "image/png")):
        gate.wait_for()
        with server.connect(post_request("/predict", grey(), "image/png")):
            server.wait_until(waiting=1, running=1)
        server.wait_until(waiting=0, running=1)
        gate.open()
