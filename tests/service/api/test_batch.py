from __future__ import annotations

import json

import httpx
import pytest

from benchmarks.caller import post_request
from service.api.schemas import BatchItem, BatchSummary
from tests.service.conftest import MakeClient, MakeServer
from tests.service.doubles import Gate, grey

NDJSON = {"accept": "application/x-ndjson"}


def files(*pictures: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{index}.png", data)) for index, data in enumerate(pictures)]


def test_sixty_four_with_twenty_bad_give_forty_four_predictions_in_order(client: httpx.Client) -> None:
    pictures = [b"bad" if index % 3 == 1 and index < 60 else grey(index) for index in range(1, 65)]
    reply = client.post("/predict/batch", files=files(*pictures)).json()
    assert [item["index"] for item in reply["results"]] == list(range(64))
    assert [item["status"] == "error" for item in reply["results"]] == [data == b"bad" for data in pictures]
    assert reply["summary"] == {"total": 64, "ok": 44, "errors": 20, "faces": 44}
    ages = [item["prediction"]["faces"][0]["age"] for item in reply["results"] if item["status"] == "ok"]
    assert ages == sorted(ages)


def test_item_has_exactly_the_documented_members(client: httpx.Client) -> None:
    good, bad = client.post("/predict/batch", files=files(grey(), b"bad")).json()["results"]
    assert list(good) == ["index", "filename", "status", "prediction"]
    assert list(bad) == ["index", "filename", "status", "error"]
    assert (good["filename"], bad["error"]["status"]) == ("0.png", 415)


def test_item_says_what_a_request_of_its_own_says(client: httpx.Client) -> None:
    alone = client.post("/predict", files={"file": grey(80)}, params={"thresholds": "18"}).json()
    (item,) = client.post("/predict/batch", files=files(grey(80)), params={"thresholds": "18"}).json()["results"]
    assert item["prediction"]["faces"] == alone["faces"]
    assert item["prediction"].keys() == alone.keys()


def test_lines_come_one_by_one_and_the_summary_last(client: httpx.Client) -> None:
    reply = client.post("/predict/batch", files=files(grey(), b"bad"), headers=NDJSON)
    *items, summary = [json.loads(line) for line in reply.text.splitlines()]
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert sorted(item["index"] for item in items) == [0, 1]
    assert summary == {"summary": {"total": 2, "ok": 1, "errors": 1, "faces": 1}}


def test_each_line_is_as_the_document_says(client: httpx.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/v1/predict/batch"]["post"]
    item, end = operation["responses"]["200"]["content"]["application/x-ndjson"]["schema"]["anyOf"]
    reply = client.post("/predict/batch", files=files(grey(), b"bad"), headers=NDJSON)
    *results, last = reply.text.splitlines()
    assert item == {"$ref": "#/components/schemas/BatchItem"}
    assert [BatchItem.model_validate_json(line).status for line in results]
    assert list(json.loads(last)) == list(end["properties"]) == end["required"]
    assert end["properties"]["summary"] == {"$ref": "#/components/schemas/BatchSummary"}
    assert BatchSummary.model_validate(json.loads(last)["summary"]).total == 2


def test_first_line_is_sent_while_the_second_picture_still_waits(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, threads=2)
    with (
        server.client() as client,
        client.stream("POST", "/predict/batch", files=files(b"bad", grey()), headers=NDJSON) as reply,
    ):
        lines = reply.iter_lines()
        assert json.loads(next(lines))["status"] == "error"
        gate.open()
        assert json.loads(next(lines))["status"] == "ok"


def test_batch_is_admitted_by_its_number_of_pictures(make_client: MakeClient) -> None:
    client = make_client(queue_size=2, threads=1, max_batch_parts=3)
    assert client.post("/predict/batch", files=files(*[grey()] * 3)).status_code == 200


def test_batch_larger_than_the_free_places_is_refused_whole(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, queue_size=2, max_batch_parts=3)
    with server.client() as client, server.connect(post_request("/predict", grey(), "image/png")):
        gate.wait_for()
        reply = client.post("/predict/batch", files=files(*[grey()] * 3))
    assert (reply.status_code, reply.json()["type"]) == (503, "urn:agelens:problem:queue-full")
    assert int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("headers", [{}, NDJSON])
def test_deadline_of_a_batch_fails_the_pictures_that_are_late(make_server: MakeServer, headers: dict[str, str]) -> None:
    server = make_server(gated=True, batch_deadline_s=0.05)
    with server.client() as client:
        reply = client.post("/predict/batch", files=files(grey(), grey()), headers=headers)
    assert reply.status_code == 200
    assert reply.text.count("urn:agelens:problem:deadline-exceeded") == 2


def test_file_name_is_said_in_the_reply_only(client: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    reply = client.post("/predict/batch", files=[("files", ("my-daughter.png", b"bad"))])
    assert "my-daughter" in reply.text
    assert "my-daughter" not in "".join(capfd.readouterr())
