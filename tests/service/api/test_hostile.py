"""Bombs and broken pictures; `make soak` sends many more and measures."""

from __future__ import annotations

import concurrent.futures

import httpx
import pytest

from benchmarks.soak.pictures import bombs, mutated
from tests.service.conftest import MakeClient
from tests.service.doubles import grey

NOT_READ = {"GIF", "TIFF", "BMP"}


@pytest.mark.parametrize("name", sorted(set(bombs()) - NOT_READ))
def test_bomb_is_refused_by_its_header(client: httpx.Client, name: str) -> None:
    reply = client.post("/predict", files={"file": bombs()[name]})
    assert (reply.status_code, reply.json()["type"]) == (413, "urn:agelens:problem:picture-too-large")


@pytest.mark.parametrize("name", sorted(NOT_READ))
def test_bomb_of_a_format_that_is_not_read_is_unsupported(client: httpx.Client, name: str) -> None:
    reply = client.post("/predict", files={"file": bombs()[name]})
    assert (reply.status_code, reply.json()["type"]) == (415, "urn:agelens:problem:unsupported-picture")


def test_broken_pictures_are_answered_or_refused_but_never_a_failure(client: httpx.Client) -> None:
    statuses = {client.post("/predict", files={"file": picture}).status_code for picture in mutated(300, seed=1)}
    assert 200 in statuses
    assert statuses <= {200, 413, 415, 422}


def test_polyglot_is_what_its_first_bytes_say(client: httpx.Client) -> None:
    reply = client.post("/predict", files={"file": grey(51) + b"PK\x03\x04<html>GIF89a"})
    assert reply.json()["faces"][0]["age"] == pytest.approx(20, abs=1e-4)


def test_same_picture_gets_the_same_faces_beside_others(make_client: MakeClient) -> None:
    client = make_client(threads=2)

    def faces(value: int) -> object:
        return client.post("/predict", files={"file": grey(value)}).json()["faces"]

    alone = {value: faces(value) for value in (51, 77, 130)}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [(value, pool.submit(faces, value)) for value in list(alone) * 8]
        assert all(future.result() == alone[value] for value, future in asked)
    assert alone[51] != alone[77]
