"""HTTP/1.1 as RFC 9110 and 9112 have it, on bare sockets."""

from __future__ import annotations

import json
import socket
from itertools import product

import pytest

from benchmarks.caller import post_request
from service.api.middleware import SECURITY_HEADERS
from tests.service.conftest import MakeServer
from tests.service.doubles import Gate, grey
from tests.service.running import LiveServer, answer_on, status_on

LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
GOOD = post_request("/predict", grey(51), "image/png")
JAVA = (
    b"POST /predict HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\nHost: 127.0.0.1:8000\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAABgAGAAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.17\r\nContent-Type: image/png\r\n\r\n"
)


def ages_on(connection: socket.socket) -> list[float]:
    status, _, body = answer_on(connection)
    assert status == 200, body
    return [round(face["age"]) for face in json.loads(body)["faces"]]


def refused(server: LiveServer, *sent: bytes) -> tuple[int, str]:
    """Send, and return status and detail of the one answer after which the connection ends."""
    with server.connect(*sent) as connection:
        status, headers, body = answer_on(connection)
        assert headers["connection"] == "close"
        assert connection.recv(1) == b"", "there is a second answer"
    return status, json.loads(body)["detail"]


def test_picture_whose_head_asks_for_an_upgrade_is_answered(make_server: MakeServer) -> None:
    data = grey(51)
    with make_server().connect(JAVA % len(data) + data, JAVA % len(data) + data) as connection:
        assert ages_on(connection) == [20]
        assert ages_on(connection) == [20]


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"x", b"TLS/1.0, h2c"])
def test_body_of_a_request_that_asks_for_an_upgrade_is_never_a_request(
    make_server: MakeServer, protocol: bytes
) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\nconnection: upgrade\r\nupgrade: "
    with make_server().connect(head + protocol + b"\r\ncontent-length: %d\r\n\r\n" % len(LIVE)) as connection:
        assert status_on(connection) == 415
        connection.sendall(LIVE)
        connection.sendall(b"GET /nope HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert status_on(connection) == 404, "what was in the body has an answer of its own"
        assert connection.recv(1) == b""


def test_chunked_body_behind_an_upgrade_is_kept_too(make_server: MakeServer) -> None:
    data = grey(51)
    head = POST + b"connection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n"
    with make_server().connect(head + b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n" + LIVE) as connection:
        assert ages_on(connection) == [20]
        assert status_on(connection) == 200


def test_upgrade_whose_bytes_come_one_by_one_is_the_same(make_server: MakeServer) -> None:
    data = grey(51)
    with make_server().connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in JAVA % len(data) + data:
            connection.sendall(bytes([byte]))
        assert ages_on(connection) == [20]


def test_upgrade_without_a_body_and_a_pipelined_request_have_an_answer_each(make_server: MakeServer) -> None:
    asking = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    with make_server().connect(asking * 2 + LIVE + asking) as connection:
        assert [status_on(connection) for _ in range(4)] == [200] * 4


@pytest.mark.parametrize(
    ("head", "status", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400, "more than one Host"),
        (b"GET / HTTP/1.0\r\nhost: a\r\nHost: b\r\n\r\n", 400, "more than one Host"),
        (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "not a host name"),
        (b"GET / HTTP/1.1\r\nhost: http://a/\r\n\r\n", 400, "not a host name"),
        (b"GET / HTTP/1.1\r\nhost: a, b@c\r\n\r\n", 400, "not a host name"),
        (b"GET /\r\n\r\n", 400, "HTTP/0.9"),
        (b"GET / HTTP/0.9\r\nhost: a\r\n\r\n", 400, "HTTP/0.9"),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505, "HTTP/2.0"),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", 501, "CONNECT"),
        (POST + b"content-length: " + b"0" * 4301 + b"5\r\n\r\nhello", 400, "18 digits"),
        (POST + b"content-length: 1" + b"0" * 18 + b"\r\n\r\nhello", 400, "18 digits"),
        (POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello", 400, "not a valid"),
        (POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", 400, "not a valid"),
        (POST + b"content-length: 5, 5\r\n\r\nhello", 400, "not a valid"),
        (POST + b"content-length: +5\r\n\r\nhello", 400, "not a valid"),
        (POST + b"content-length: -5\r\n\r\nhello", 400, "not a valid"),
        (POST + b"content-length: 0x5\r\n\r\nhello", 400, "not a valid"),
        (POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "not a valid"),
        (POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400, "not a valid"),
        (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "chunked"),
        (POST + b"transfer-encoding: gzip\r\n\r\n", 501, "chunked"),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0"),
    ],
)
def test_head_that_may_not_be_answered_is_refused_once_and_ends_the_connection(
    make_server: MakeServer, head: bytes, status: int, said: str
) -> None:
    server = make_server()
    answer = refused(server, head)
    assert answer[0] == status
    assert said in answer[1]
    with server.connect(LIVE) as connection:
        assert status_on(connection) == 200


@pytest.mark.parametrize(
    "host", [b"", b"x", b"\t x \t", b"a_b.c:8000", b"127.0.0.1:8000", b"[::1]:8000", b"xn--bcher-kva.example"]
)
def test_every_host_that_can_be_is_taken(make_server: MakeServer, host: bytes) -> None:
    with make_server().connect(b"GET /health/live HTTP/1.1\r\nhost: " + host + b"\r\n\r\n") as connection:
        assert status_on(connection) == 200


def test_http_1_0_needs_no_host(make_server: MakeServer) -> None:
    with make_server().connect(b"GET /health/live HTTP/1.0\r\n\r\n") as connection:
        assert status_on(connection) == 200


def test_leading_zeros_of_a_length_mean_nothing(make_server: MakeServer) -> None:
    data = grey(51)
    with make_server().connect(POST + b"content-length: %018d\r\n\r\n" % len(data) + data) as connection:
        assert ages_on(connection) == [20]


LARGE = b"x: " + b"a" * 60_000 + b"\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        [b"GET / HTTP/1.1\r\nhost: x\r\n" + LARGE],
        [b"GET /?" + b"a" * 60_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 8000 + b"\r\n"],
        [b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a" * 60_000 + b": x\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n" + LARGE],
        [POST + b"content-length: 10\r\n" + LARGE],
    ],
    ids=["one field", "target", "many fields", "name", "upgrade", "before a body"],
)
def test_head_over_the_limit_in_one_write_is_431(make_server: MakeServer, sent: list[bytes]) -> None:
    assert refused(make_server(), *sent)[0] == 431


def test_pipelined_head_over_the_limit_is_431_after_the_answers_before_it(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True)
    with server.connect(GOOD + LIVE + b"GET / HTTP/1.1\r\nhost: x\r\n" + LARGE + LIVE) as connection:
        gate.wait_for()
        gate.open()
        assert ages_on(connection) == [20]
        assert status_on(connection) == 200
        assert status_on(connection) == 431
        assert connection.recv(1) == b""


def test_garbage_behind_a_request_in_work_is_refused_after_its_answer(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True)
    with server.connect(GOOD + b"\x16\x03\x01 what?") as connection:
        gate.wait_for()
        gate.open()
        assert ages_on(connection) == [20]
        assert status_on(connection) == 400
        assert connection.recv(1) == b""


def test_slow_head_behind_a_request_in_work_is_refused_after_its_answer(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, header_timeout_s=0.05)
    with server.connect(GOOD + b"GET / HT") as connection:
        gate.wait_for()
        with server.connect(b"GET / HT") as later:
            assert status_on(later) == 408
        gate.open()
        assert ages_on(connection) == [20]
        assert status_on(connection) == 408


@pytest.mark.parametrize("behind", [b"", LIVE], ids=["alone", "behind another"])
def test_broken_chunk_is_the_one_answer_to_its_request(make_server: MakeServer, behind: bytes) -> None:
    head = POST + b"transfer-encoding: chunked\r\n\r\n"
    with make_server().connect(behind + head + b"5\r\nhello\r\nzz\r\n") as connection:
        assert [status_on(connection) for _ in behind[:1]] in ([], [200])
        assert status_on(connection) == 400
        assert connection.recv(1) == b""


@pytest.mark.parametrize(
    "tail",
    [b"0\r\nx: " + b"a" * 600_000, b"0\r\n" + b"x: y\r\n" * 100_000, b"1;" + b"a" * 600_000],
    ids=["trailer", "many trailers", "extension"],
)
def test_endless_framing_of_a_body_is_431(make_server: MakeServer, tail: bytes) -> None:
    with make_server().connect(POST + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n", tail) as connection:
        assert status_on(connection) == 431


def test_body_in_chunks_of_a_few_bytes_is_read_but_not_for_long(make_server: MakeServer) -> None:
    server, head = make_server(), POST + b"transfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in grey(51)) + b"0\r\n\r\n"
    with server.connect(head + chunks) as connection:
        assert ages_on(connection) == [20]
    for length in (1, 5, 15):
        chunk = b"%x\r\n%s\r\n" % (length, b"x" * length)
        status, detail = refused(server, head, chunk * (2_400_000 // len(chunk)))
        assert (status, detail.rpartition("; ")[2]) == (400, "send larger chunks")


def test_trailers_are_not_taken_for_fields_of_the_head(make_server: MakeServer, gate: Gate) -> None:
    data = grey(51)
    server = make_server(gated=True, api_keys=("k",))
    good = POST + b"x-api-key: k\r\ncontent-length: %d\r\n\r\n" % len(data) + data
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(data) + data + b"\r\n0\r\nx-api-key: k\r\n\r\n"
    with server.connect(good + chunked) as connection:
        gate.wait_for()
        gate.open()
        assert ages_on(connection) == [20]
        assert status_on(connection) == 401


def test_http_1_0_is_not_told_to_continue(make_server: MakeServer) -> None:
    data = grey(51)
    head = b"POST /predict HTTP/1.0\r\nexpect: 100-continue\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n"
    with make_server().connect(head % len(data)) as connection:
        connection.sendall(data)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health/live",
        "/health/ready",
        "/health/startup",
        "/models",
        "/models/brightness",
        "/metrics",
        "/openapi.json",
    ],
)
def test_head_is_answered_as_get_is_but_without_the_content(make_server: MakeServer, path: str) -> None:
    server = make_server()
    with server.connect(f"HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()) as connection:
        head, _, content = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    with server.client() as client:
        got = client.get(path)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert content == b""
    assert f"content-type: {got.headers['content-type']}".encode() in head
    assert b"content-length: " in head


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (b"accept: text/html", b"accept: application/json", 200),
        (b"accept: application/json;q=0", b"accept: text/html", 406),
        (b"content-encoding: identity", b"Content-Encoding: Identity", 200),
        (b"content-encoding: identity", b"content-encoding: gzip", 415),
    ],
)
def test_list_in_two_lines_is_as_in_one(make_server: MakeServer, first: bytes, second: bytes, status: int) -> None:
    data, server = grey(51), make_server()
    one_line = first + b", " + second.partition(b": ")[2]
    for lines in (one_line, first + b"\r\nx: y\r\n" + second):
        with server.connect(POST + lines + b"\r\ncontent-length: %d\r\n\r\n" % len(data) + data) as connection:
            assert status_on(connection) == status


def test_file_that_the_second_line_of_if_none_match_names_is_not_sent_again(make_server: MakeServer) -> None:
    server = make_server()
    with server.client() as client:
        etag = client.get("/").headers["etag"].encode()
    with server.connect(
        b'GET / HTTP/1.1\r\nhost: x\r\nif-none-match: "other"\r\nif-none-match: %s\r\n\r\n' % etag
    ) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 304 ")


LONG = b"content-length: 20000000\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (POST + b"connection: close\r\n" + LONG, 413),
        (POST.replace(b"1.1", b"1.0") + LONG, 413),
        (POST.replace(b"/predict", b"/predict?interval=7") + b"connection: close\r\n" + LONG, 422),
        (POST.replace(b"/predict", b"/nope") + b"connection: close\r\n" + LONG, 404),
        (POST + LONG, 413),
    ],
)
def test_early_refusal_can_be_read_after_the_whole_body_is_sent(
    make_server: MakeServer, head: bytes, status: int
) -> None:
    with make_server(max_body_bytes=2**20).connect(head) as connection:
        connection.recv(1, socket.MSG_PEEK)
        for _ in range(20):
            connection.sendall(bytes(10**6))
        assert status_on(connection) == status


def test_body_of_a_refused_request_is_not_read_without_end(make_server: MakeServer) -> None:
    server = make_server(max_body_bytes=2**20, max_batch_bytes=2**21)
    with server.connect(POST + b"connection: close\r\n" + LONG) as connection:
        assert status_on(connection) == 413
        with pytest.raises(ConnectionError):
            connection.sendall(bytes(20 * 10**6))


def test_head_of_what_is_only_posted_is_405(make_server: MakeServer) -> None:
    with make_server().connect(b"HEAD /predict HTTP/1.1\r\nhost: x\r\n\r\n") as connection:
        assert b"HTTP/1.1 405 " in connection.recv(65536)


PREFLIGHT = (
    b"OPTIONS /predict HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\naccess-control-request-method: %s\r\n\r\n"
)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (LIVE, 200),
        (PREFLIGHT % b"POST", 200),
        (PREFLIGHT % b"DELETE", None),
        (b"GET /nope HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"DELETE /models HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (POST + b"content-length: 99999999\r\n\r\n", 413),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HT", 408),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + LARGE, 431),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", 501),
    ],
)
def test_every_answer_has_an_id_and_the_security_headers(
    make_server: MakeServer, sent: bytes, status: int | None
) -> None:
    server = make_server(cors_origins=("https://a.example",), header_timeout_s=0.3)
    with server.connect(sent) as connection:
        got, headers, _ = answer_on(connection)
    assert got == status or status is None
    assert headers["x-request-id"]
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_what_is_refused_before_it_is_a_request_is_counted(make_server: MakeServer) -> None:
    server = make_server(header_timeout_s=0.3)
    for sent in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n" + LARGE, b"GET / HT"):
        refused(server, sent)
    with server.client() as client:
        counted = client.get("/metrics").text
    for reason, count in {"bad-request": 2, "head-too-large": 1, "body-too-slow": 1}.items():
        assert f'agelens_rejected_total{{reason="{reason}"}} {count}.0' in counted


def test_refusal_at_a_full_queue_has_them_too(make_server: MakeServer, gate: Gate) -> None:
    data = grey()
    server = make_server(gated=True, queue_size=1, max_batch_parts=2)
    good = POST + b"x-request-id: mine\r\ncontent-length: %d\r\n\r\n" % len(data) + data
    with server.connect(good), server.connect(good):
        gate.wait_for()
        server.wait_until(waiting=1, running=1)
        with server.connect(good) as connection:
            status, headers, body = answer_on(connection)
        gate.open()
    assert (status, headers["x-request-id"], json.loads(body)["request_id"]) == (503, "mine", "mine")
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


FORM = b"multipart/form-data; boundary=b"
NO_CHUNK = b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("kind", "framing"),
    [
        *product((b"image/png", FORM, b"text/plain", b""), (b"content-length: 0\r\n\r\n", b"\r\n")),
        *product((b"image/png", b"application/octet-stream", FORM), (NO_CHUNK,)),
    ],
)
def test_empty_body_is_said_to_be_empty(make_server: MakeServer, kind: bytes, framing: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: " + kind + b"\r\n" + framing
    with make_server().connect(head) as connection:
        status, _, body = answer_on(connection)
    assert (status, json.loads(body)["type"]) == (422, "urn:agelens:problem:empty-picture")


def test_empty_part_is_said_to_be_empty_and_fails_alone(make_server: MakeServer) -> None:
    with make_server().client() as client:
        alone = client.post("/predict", files={"file": b""})
        batch = client.post("/predict/batch", files=[("files", grey(51)), ("files", b""), ("files", grey(51))])
    assert (alone.status_code, "empty" in alone.json()["detail"]) == (422, True)
    assert [result["status"] for result in batch.json()["results"]] == ["ok", "error", "ok"]
    assert batch.json()["results"][1]["error"]["type"] == "urn:agelens:problem:empty-picture"
