from __future__ import annotations

import tempfile

import httpx
import pytest

from tests.service.conftest import MakeServer
from tests.service.doubles import grey
from tests.service.running import LiveServer, status_on

HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"


def status_of(server: LiveServer, *sent: bytes) -> int:
    with server.connect(*sent) as connection:
        return status_on(connection)


def test_announced_length_is_refused_before_a_byte_of_the_body_came(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=1024, max_batch_bytes=1024)
    assert status_of(server, HEAD + b"content-length: 1025\r\n\r\n") == 413


def test_unannounced_length_is_counted_while_it_comes(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=1024, max_batch_bytes=1024)
    chunk = b"200\r\n" + bytes(512) + b"\r\n"
    assert status_of(server, HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk * 3) == 413


def test_body_that_stops_coming_is_408(make_server: MakeServer) -> None:
    server = make_server(body_timeout_s=0.05)
    assert status_of(server, HEAD + b"content-length: 100\r\n\r\nhalf") == 408


def test_refused_body_is_read_no_further_but_the_connection_stays(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=1024, max_batch_bytes=1024)
    with server.connect(HEAD + b"content-length: 5000\r\n\r\n") as connection:
        assert status_on(connection) == 413
        connection.sendall(bytes(5000) + b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert status_on(connection) == 200


def test_expect_continue_spares_a_body_that_is_refused(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=1024, max_batch_bytes=1024)
    with server.connect(HEAD + b"expect: 100-continue\r\ncontent-length: 5000\r\n\r\n") as connection:
        assert status_on(connection) == 413


def test_all_bodies_together_are_bounded(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=2048, max_batch_bytes=2048, max_buffered_bytes=2048)
    with (
        server.connect(HEAD + b"expect: 100-continue\r\ncontent-length: 2048\r\n\r\n") as slow,
        server.client() as client,
    ):
        assert b" 100 " in slow.recv(1024)  # said when the body is being read
        slow.sendall(bytes(2000))
        reply = client.post("/predict", content=bytes(100), headers={"content-type": "image/png"})
    assert (reply.status_code, reply.json()["type"]) == (503, "urn:agelens:problem:queue-full")


def test_bytes_are_given_back(make_server: MakeServer) -> None:
    data = grey() + bytes(2000)
    size = len(data) + 1
    with make_server(max_body_bytes=size, max_batch_bytes=size, max_buffered_bytes=size).client() as client:
        replies = [client.post("/predict", content=data, headers={"content-type": "image/png"}) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200] * 5


def test_nothing_is_spooled_to_disk(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was opened")

    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    padded = grey() + bytes(5 * 2**20)
    assert client.post("/predict", files={"file": ("a.png", padded)}).status_code == 200
