from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import HTTPException

from service import errors
from service.api.problems import KINDS, Kind, problem_of
from service.api.schemas import ProblemReply
from tests.service.doubles import grey

PNG = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}


def classes(of: type[Exception] = errors.AgelensError) -> Iterator[type[Exception]]:
    yield of
    for child in of.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from classes(child)


@pytest.mark.parametrize("error", list(classes()))
def test_every_error_class_has_a_kind_of_its_own(error: type[Exception]) -> None:
    assert error in KINDS, f"{error.__name__} has no status"


def test_no_two_kinds_share_a_type() -> None:
    assert len({kind.type for kind in KINDS.values()}) == len(KINDS)


def test_errors_of_the_installation_do_not_speak_to_callers() -> None:
    document = problem_of(errors.FileMissing("secret.onnx is missing"), "id").document()
    assert document["status"] == 500
    assert "secret" not in str(document)


def test_errors_that_nobody_foresaw_do_not_speak_to_callers() -> None:
    document = problem_of(RuntimeError("/home/secret"), "id").document()
    assert document["status"] == 500
    assert "secret" not in str(document)


@pytest.mark.parametrize(("seconds", "header"), [(None, "1"), (0.2, "1"), (2.1, "3")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float | None, header: str) -> None:
    problem = problem_of(errors.QueueFull("full", seconds), "id")
    assert problem.headers == {"Retry-After": header}


def test_kind_is_a_urn() -> None:
    assert Kind(400, "x", "X").type == "urn:agelens:problem:x"


def reply_to(client: httpx.Client, case: dict[str, Any]) -> httpx.Response:
    return client.request(case.pop("method", "POST"), case.pop("path", "/predict"), **case)


CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "no body at all": (422, {}),
    "form without a part": (400, {"content": b"--b--", "headers": {"content-type": "multipart/form-data; boundary=b"}}),
    "form with another part": (422, {"files": {"photo": grey()}}),
    "form without a boundary": (400, {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
    "form cut short": (400, {"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}),
    "form that is none": (400, {"content": b"?", "headers": {"content-type": "multipart/form-data; boundary=b"}}),
    "boundary too long": (
        400,
        {"content": b"?", "headers": {"content-type": f"multipart/form-data; boundary={300 * 'b'}"}},
    ),
    "two pictures": (413, {"files": [("file", grey()), ("file", grey())]}),
    "urlencoded": (415, {"data": {"file": "x"}}),
    "no content type": (415, {"content": grey()}),
    "json for a batch": (415, {"path": "/predict/batch", "json": {"image": "x"}}),
    "json that is none": (400, {"content": b"{", "headers": {"content-type": "application/json"}}),
    "json without an image": (400, {"json": {}}),
    "json with another member": (422, {"json": {"image": "", "img": "x"}}),
    "json that is nested deeply": (400, {"content": 9999 * b"[", "headers": {"content-type": "application/json"}}),
    "json of very many members": (400, {"json": {str(number): 1 for number in range(100)}}),
    "json of very many items": (400, {"json": {"image": [1] * 100}}),
    "image twice": (400, {"content": b'{"image":"AAAA","image":"AAAA"}', "headers": JSON}),
    "data URL of text": (400, {"json": {"image": "data:image/png,%89PNG"}}),
    "data URL without a comma": (400, {"json": {"image": "DATA:image/png;base64;AAAA"}}),
    "image with blanks only": (422, {"json": {"image": " \r\n"}}),
    "image that is no string": (400, {"json": {"image": 1}}),
    "image that is no base64": (400, {"json": {"image": "no-base64"}}),
    "image that is an address": (400, {"json": {"image": "https://example.com/a.jpg"}}),
    "image that is no picture": (415, {"json": {"image": "AAAA"}}),
    "compressed": (415, {"content": grey(), "headers": {**PNG, "content-encoding": "gzip"}}),
    "empty picture": (422, {"files": {"file": b""}}),
    "empty raw body": (422, {"content": b"", "headers": PNG}),
    "text": (415, {"files": {"file": b"hello, this is no picture at all"}}),
    "name of a file instead of it": (400, {"files": {"file": (None, b"photo.jpg")}}),
    "truncated": (422, {"files": {"file": grey(side=200)[:-40]}}),
    "too many bytes": (413, {"content": bytes(20 * 2**20 + 1), "headers": PNG}),
    "unknown model": (422, {"params": {"model": "none"}, "files": {"file": grey()}}),
    "odd model name": (422, {"params": {"model": "../etc"}, "files": {"file": grey()}}),
    "interval too wide": (422, {"params": {"interval": "0.999"}, "files": {"file": grey()}}),
    "interval in words": (422, {"params": {"interval": "wide"}, "files": {"file": grey()}}),
    "maximum in words": (422, {"params": {"max_faces": "all"}, "files": {"file": grey()}}),
    "interval not a number": (422, {"params": {"interval": "nan"}, "files": {"file": grey()}}),
    "threshold 0": (422, {"params": {"thresholds": "0"}, "files": {"file": grey()}}),
    "threshold 101": (422, {"params": {"thresholds": "18,101"}, "files": {"file": grey()}}),
    "21 thresholds": (422, {"params": {"thresholds": ",".join(["18"] * 21)}, "files": {"file": grey()}}),
    "no threshold": (422, {"params": {"thresholds": ""}, "files": {"file": grey()}}),
    "unknown parameter": (422, {"params": {"treshold": "18"}, "files": {"file": grey()}}),
    "no faces wanted": (422, {"params": {"max_faces": "0"}, "files": {"file": grey()}}),
    "faces too small to find": (422, {"params": {"min_face_size": "11"}, "files": {"file": grey()}}),
    "two models": (422, {"params": {"model": ["brightness", "other"]}, "files": {"file": grey()}}),
    "unknown mix of ages": (422, {"params": {"prior": "x"}, "files": {"file": grey()}}),
    "unknown mix for a batch": (422, {"path": "/predict/batch", "params": {"prior": "x"}, "files": {"files": grey()}}),
    "unknown model for a batch": (
        422,
        {"path": "/predict/batch", "params": {"model": "none"}, "files": {"files": grey()}},
    ),
    "detect and not": (
        422,
        {"path": "/predict/batch", "params": {"detect": ["true", "false"]}, "files": {"files": grey()}},
    ),
    "part in base64": (
        400,
        {
            "content": b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--",
            "headers": {"content-type": "multipart/form-data; boundary=b"},
        },
    ),
    "detect perhaps": (422, {"params": {"detect": "perhaps"}, "files": {"file": grey()}}),
    "accepts html only": (406, {"files": {"file": grey()}, "headers": {"accept": "text/html"}}),
    "unknown route": (404, {"path": "/nope"}),
    "model with a long name": (422, {"method": "GET", "path": f"/models/{65 * 'm'}"}),
    "unknown model's page": (404, {"method": "GET", "path": "/models/nope"}),
    "wrong method": (405, {"method": "GET"}),
    "raw batch": (415, {"path": "/predict/batch", "content": grey(), "headers": PNG}),
    "batch without a body": (422, {"path": "/predict/batch"}),
    "batch with another part": (422, {"path": "/predict/batch", "files": {"x": b""}}),
    "too large a batch": (413, {"path": "/predict/batch", "files": [("files", b"x")] * 65}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_goes_wrong_is_a_problem_document(client: httpx.Client, name: str) -> None:
    status, case = CASES[name]
    reply = reply_to(client, dict(case))
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem = ProblemReply.model_validate_json(reply.content)
    assert (problem.status, problem.request_id) == (status, reply.headers["x-request-id"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("two pictures", "at most 1; send several to /v1/predict/batch"),
        ("too large a batch", "at most 64; send smaller batches"),
        ("too many bytes", "at most 20,971,520 are accepted; scale the picture down"),
        ("name of a file instead of it", "the part `file` is text, not a file; with curl, write -F file=@photo.jpg"),
        ("unknown route", "; pictures are sent by POST to /v1/predict, probes to /health/ready"),
        ("urlencoded", "or JSON with `image` in base64"),
        ("json of very many members", "more in it than `image`, the picture in base64"),
        ("json of very many items", "more in it than `image`, the picture in base64"),
        ("image twice", "the JSON body has `image` more than once; send one picture"),
        ("data URL of text", "a data URL without `;base64,` before the picture"),
        ("data URL without a comma", "a data URL without `;base64,` before the picture"),
        ("image that is no base64", "not base64; write it with + and /, and with = at its end"),
        ("two models", "model is given more than once in the query; leave one"),
        ("detect and not", "detect is given more than once in the query; leave one"),
        ("part in base64", "a Content-Transfer-Encoding; send its bytes as they are (RFC 7578)"),
        ("wrong method", "this address takes POST; pictures are sent by POST to /v1/predict"),
    ],
)
def test_detail_says_what_would_be_right(client: httpx.Client, name: str, said: str) -> None:
    assert reply_to(client, dict(CASES[name][1])).json()["detail"].endswith(said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("urlencoded", "the Content-Type is application/x-www-form-urlencoded; send multipart/form-data with a part"),
        ("no content type", "there is no Content-Type; send multipart/form-data with a part `file`, in curl -F file=@"),
        ("image that is an address", "`image` in the JSON body is an address, which is not fetched; send"),
        ("maximum in words", "max_faces in the query: should be a whole number (keep"),
        ("interval in words", "interval in the query: should be a number (level"),
        ("detect perhaps", "detect in the query: should be true or false (find"),
    ],
)
def test_detail_names_what_was_sent_and_is_wrong(client: httpx.Client, name: str, said: str) -> None:
    assert reply_to(client, dict(CASES[name][1])).json()["detail"].startswith(said)


def test_wrong_method_says_the_right_one(client: httpx.Client) -> None:
    assert client.get("/predict").headers["allow"] == "POST"


def test_a_status_that_has_no_type_of_its_own_is_an_internal_error() -> None:
    assert problem_of(HTTPException(401), "id").document()["status"] == 500
