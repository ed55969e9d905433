"""The Python clients, each over a transport that answers from a list."""

from __future__ import annotations

import asyncio
import io
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service.client import (
    AsyncClient,
    Client,
    InvalidOption,
    Retry,
    ServiceProblem,
    ServiceUnreachable,
    UnexpectedReply,
)
from service.client.protocol import part_of

REPLY = {
    "request_id": "1",
    "model": {"name": "toy", "version": "1.0.0"},
    "image": {"width": 8, "height": 8, "more_faces": False, "warnings": []},
    "faces": [],
    "timings_ms": {"decode": 1, "detect": 1, "crop": 1, "estimate": 1, "total": 4},
}
PROBLEM = {
    "type": "urn:agelens:problem:corrupt-picture",
    "title": "Picture is truncated or damaged",
    "status": 422,
    "detail": "send a complete file",
    "request_id": "7",
}


class Service:
    """Answers with the given responses, one after the other, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(service: Service, waits: list[float] | None = None, retry: Retry | None = None) -> Client:
    sleep = ([] if waits is None else waits).append
    return Client("http://agelens", transport=httpx.MockTransport(service), sleep=sleep, retry=retry)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"treshold": [18]}, r"treshold is not known; did you mean thresholds\?$"),
        ({"thresholds": [180]}, r"thresholds: should be less than or equal to 100 \(up to 20 ages"),
    ],
)
def test_wrong_option_is_named_before_anything_is_sent(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        client_of(Service()).predict(b"x", **options)


@pytest.mark.parametrize("address", ["localhost:8000", "http://localhost:abc", "ftp://localhost"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_address_that_is_none_of_a_service_is_refused(client: type[Client] | type[AsyncClient], address: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{address} is not an address of the service; write it as http://"):
        client(address)


def test_a_key_that_no_header_can_have_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidOption, match="the API key has a line feed") as caught:
        Client(api_key="s3cret\nX-Other: 1")
    assert "s3cret" not in str(caught.value)


def test_a_key_may_be_read_from_a_file_that_ends_with_a_line_feed() -> None:
    service = Service(good())
    Client("http://agelens", api_key="s3cret\n", transport=httpx.MockTransport(service)).predict(b"p")
    assert service.requests[0].headers["X-API-Key"] == "s3cret"


def good() -> httpx.Response:
    return httpx.Response(200, json=REPLY)


def busy(**headers: str) -> httpx.Response:
    return httpx.Response(503, json={**PROBLEM, "status": 503}, headers=headers)


def test_reply_is_typed() -> None:
    reply = client_of(Service(good())).predict(b"picture")
    assert (reply.image.width, reply.model.name, reply.faces) == (8, "toy", [])


def test_photo_goes_as_the_part_named_file() -> None:
    service = Service(good())
    client_of(service).predict(b"the picture")
    body = service.requests[0].read()
    assert b'name="file"' in body
    assert b"the picture" in body


def test_question_goes_into_the_query() -> None:
    service = Service(good())
    client_of(service).predict(b"p", model="toy", thresholds=[18, 25], detect=False, interval=0.8)
    query = sorted(service.requests[0].url.params.multi_items())
    assert query == [
        ("detect", "false"),
        ("interval", "0.8"),
        ("model", "toy"),
        ("thresholds", "18"),
        ("thresholds", "25"),
    ]


def test_nothing_asked_is_nothing_sent() -> None:
    service = Service(good())
    client_of(service).predict(b"p")
    assert service.requests[0].url.query == b""


@pytest.mark.parametrize("wrong", [{"threshold": [18]}, {"interval": 2}])
def test_a_wrong_option_is_named_before_anything_is_sent(wrong: dict[str, object]) -> None:
    service = Service()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        client_of(service).predict(b"p", **wrong)
    assert service.requests == []


def test_batch_sends_a_part_for_each_photo_in_order() -> None:
    service = Service(
        httpx.Response(
            200,
            json={"request_id": "1", "results": [], "summary": dict.fromkeys(("total", "ok", "errors", "faces"), 0)},
        )
    )
    client_of(service).predict_batch([b"first", b"second"])
    body = service.requests[0].read()
    assert body.count(b'name="files"') == 2
    assert body.index(b"first") < body.index(b"second")


@pytest.mark.parametrize("key", ["secret", "schlüssel", "鍵"])
def test_api_key_is_sent_as_utf_8(key: str) -> None:
    service = Service(good())
    Client("http://agelens", api_key=key, transport=httpx.MockTransport(service)).predict(b"p")
    assert (b"X-API-Key", key.encode()) in service.requests[0].headers.raw


def test_headers_of_the_callers_own_go_with_those_of_the_client() -> None:
    service = Service(good())
    transport = httpx.MockTransport(service)
    Client("http://agelens", api_key="s3cret", headers={"X-Tenant": "a", "accept": "*/*"}, transport=transport).predict(
        b"p"
    )
    sent = service.requests[0].headers
    assert (sent["X-API-Key"], sent["X-Tenant"], sent["Accept"]) == ("s3cret", "a", "application/json")


def test_base_url_keeps_a_prefix() -> None:
    service = Service(good())
    Client("http://gateway/ages/", transport=httpx.MockTransport(service)).predict(b"p")
    assert service.requests[0].url.path == "/ages/v1/predict"


def test_problem_document_is_raised() -> None:
    with pytest.raises(ServiceProblem, match="send a complete file") as caught:
        client_of(Service(httpx.Response(422, json=PROBLEM))).predict(b"p")
    assert (caught.value.kind, caught.value.problem.request_id) == ("corrupt-picture", "7")


def test_an_error_that_is_no_problem_document_is_raised_as_one() -> None:
    with pytest.raises(ServiceProblem, match="Bad Gateway") as caught:
        client_of(Service(httpx.Response(502, text="<html>nginx</html>"))).predict(b"p")
    assert caught.value.problem.status == 502


def test_bad_question_is_asked_once() -> None:
    service = Service(httpx.Response(422, json=PROBLEM), good())
    with pytest.raises(ServiceProblem):
        client_of(service).predict(b"p")
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status: int) -> None:
    waits: list[float] = []
    refused = httpx.Response(status, json={**PROBLEM, "status": status}, headers={"Retry-After": "7"})
    client_of(Service(refused, good()), waits).predict(b"p")
    assert len(waits) == 1
    assert 7 <= waits[0] <= 7.7


def test_retry_after_may_be_a_date() -> None:
    waits: list[float] = []
    client_of(Service(busy(**{"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}), good()), waits).predict(b"p")
    assert waits == [0.0]


def test_retry_sends_the_same_body_again() -> None:
    service = Service(busy(), good())
    client_of(service).predict(io.BytesIO(b"read only once"))
    first, second = (request.read() for request in service.requests)
    assert first == second
    assert b"read only once" in second


def test_a_wait_longer_than_allowed_is_not_waited() -> None:
    waits: list[float] = []
    with pytest.raises(ServiceProblem) as caught:
        client_of(Service(busy(**{"Retry-After": "3600"})), waits).predict(b"p")
    assert (waits, caught.value.retry_after_s) == ([], 3600)


def test_it_gives_up_after_the_attempts() -> None:
    waits: list[float] = []
    with pytest.raises(ServiceProblem):
        client_of(Service(busy(), busy(), busy()), waits, Retry(attempts=3)).predict(b"p")
    assert len(waits) == 2
    assert waits[1] > waits[0]


def test_no_answer_is_tried_again_and_then_said() -> None:
    service = Service(httpx.ConnectError("refused"), httpx.ConnectError("refused"))
    with pytest.raises(ServiceUnreachable, match="http://agelens/v1/predict: refused"):
        client_of(service, retry=Retry(attempts=2)).predict(b"p")
    assert len(service.requests) == 2


@pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), httpx.WriteTimeout("slow")])
def test_a_picture_is_not_sent_again_after_a_time_out(error: Exception) -> None:
    service = Service(error, good())
    with pytest.raises(ServiceUnreachable, match="http://agelens/v1/predict: slow"):
        client_of(service).predict(b"p")
    assert len(service.requests) == 1


def test_a_password_in_the_address_is_not_said() -> None:
    service = Service(httpx.ReadTimeout("slow"))
    client = Client("http://user:s3cret@agelens", transport=httpx.MockTransport(service))
    with pytest.raises(ServiceUnreachable, match="no answer from http://agelens/v1/predict"):
        client.predict(b"p")


def test_a_redirect_is_said_with_where_it_leads() -> None:
    there = httpx.Response(308, headers={"Location": "https://user:s3cret@agelens/v1/predict?key=s3cret"})
    with pytest.raises(
        UnexpectedReply, match="http://agelens/v1/predict redirects to https://agelens/v1/predict; give"
    ):
        client_of(Service(there)).predict(b"p")


@pytest.mark.parametrize("headers", [{}, {"Location": "http://h:abc/"}])
def test_a_redirect_to_nowhere_is_said(headers: dict[str, str]) -> None:
    with pytest.raises(UnexpectedReply, match=r"redirects to no address that can be read \(status 304\)"):
        client_of(Service(httpx.Response(304, headers=headers))).predict(b"p")


@pytest.mark.parametrize("error", [httpx.PoolTimeout("all busy"), httpx.ProxyError("down"), httpx.ConnectTimeout("")])
def test_a_picture_that_had_no_connection_is_sent_again(error: Exception) -> None:
    service = Service(error, good())
    client_of(service).predict(b"p")
    assert len(service.requests) == 2


def test_a_damaged_answer_is_said() -> None:
    with pytest.raises(UnexpectedReply, match="the answer from http://agelens/v1/predict is damaged"):
        client_of(Service(httpx.DecodingError("incorrect header check"))).predict(b"p")


def test_another_versions_reply_is_refused() -> None:
    with pytest.raises(UnexpectedReply, match="install the version that the service runs"):
        client_of(Service(httpx.Response(200, json={"ages": [3]}))).predict(b"p")


def test_a_path_gives_its_name(tmp_path: Path) -> None:
    (tmp_path / "anna.jpg").write_bytes(b"picture")
    assert part_of(tmp_path / "anna.jpg") == ("anna.jpg", b"picture")
    assert part_of(str(tmp_path / "anna.jpg")) == ("anna.jpg", b"picture")
    with (tmp_path / "anna.jpg").open("rb") as stream:
        assert part_of(stream) == ("anna.jpg", b"picture")


def test_a_name_that_is_not_utf_8_is_sent_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"ann\xe9.jpg")
    (tmp_path / name).write_bytes(b"picture")
    service = Service(good())
    client_of(service).predict(tmp_path / name)
    assert b'filename="ann' in service.requests[0].read()


async def ask_twice(service: Service, waits: list[float]) -> BaseModel:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with AsyncClient("http://agelens", transport=httpx.MockTransport(service), sleep=sleep) as client:
        return await client.predict(b"p", max_faces=2)


def test_async_client_retries_and_types_alike() -> None:
    waits: list[float] = []
    service = Service(busy(**{"Retry-After": "3"}), good())
    reply = asyncio.run(ask_twice(service, waits))
    assert json.loads(reply.model_dump_json())["model"]["name"] == "toy"
    assert 3 <= waits[0] <= 3.3
    assert service.requests[1].url.params["max_faces"] == "2"
