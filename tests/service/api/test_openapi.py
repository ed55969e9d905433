from __future__ import annotations

import re

import httpx
import pytest

from tests.service.conftest import MakeClient


def test_docs_page_and_all_it_needs_come_from_here(client: httpx.Client) -> None:
    page = client.get("/docs").text
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(wanted) == 5
    assert "icon.svg" in wanted
    for reference in wanted:
        assert client.get(f"/{reference}").status_code == 200
    assert "//" not in "".join(wanted)
    assert "<script>" not in page


def test_docs_start_reads_this_services_document(client: httpx.Client) -> None:
    assert 'url: "openapi.json"' in client.get("/docs/start.js").text


def test_page_for_people_is_at_the_root(client: httpx.Client) -> None:
    reply = client.get("/")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for reference in re.findall(r'(?:src|href)="([^"#:]+)"', reply.text):
        assert client.get(f"/{reference.lstrip('./')}").status_code == 200, reference


def test_files_beside_the_page_are_not_served(client: httpx.Client) -> None:
    for path in ("/../settings.py", "/%2e%2e/settings.py", "/web/index.html", "/index.html/..%2f..%2fsettings.py"):
        assert client.get(path).status_code == 404


def test_unchanged_file_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/docs")
    again = client.get("/docs", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("wanted", ["abc=0-1", "bytes=abc", "bytes", "bytes=5-2", ""])
def test_range_that_is_malformed_or_not_of_bytes_is_ignored(client: httpx.Client, wanted: str) -> None:
    whole = client.get("/")
    reply = client.get("/", headers={"range": wanted})
    assert (reply.status_code, reply.content) == (200, whole.content)


def test_range_of_bytes_is_sent_and_one_past_the_end_is_a_problem(client: httpx.Client) -> None:
    whole = client.get("/").content
    part, past = (client.get("/", headers={"range": f"bytes={each}"}) for each in ("2-9", "9999999-"))
    assert (part.status_code, part.content) == (206, whole[2:10])
    assert (past.status_code, past.headers["content-type"]) == (416, "application/problem+json")
    assert past.headers["content-range"] == f"bytes */{len(whole)}"
    assert past.json()["detail"] == f"the file has {len(whole):,} bytes; ask for a Range within them"


@pytest.mark.parametrize("path", ["/", "/docs", "/models", "/nope"])
def test_every_answer_carries_security_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


def test_answers_about_faces_are_not_kept_by_caches(client: httpx.Client) -> None:
    assert client.post("/predict").headers["cache-control"] == "no-store"


def test_docs_can_be_switched_off(make_client: MakeClient) -> None:
    client = make_client(docs=False)
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 404


def test_document_is_3_1_and_describes_every_route(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/predict",
        "/v1/predict/batch",
        "/v1/models",
        "/v1/models/{name}",
        "/health/live",
        "/health/ready",
        "/health/startup",
        "/metrics",
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"].count(" ") >= 3, path


def test_document_has_no_dangling_references(client: httpx.Client) -> None:
    text = client.get("/openapi.json").text
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used == set(schemas)


def test_keys_are_described_where_they_are_needed(make_client: MakeClient) -> None:
    document = make_client(api_keys="k").get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"ApiKey", "Bearer"}
    assert "security" in document["paths"]["/v1/predict"]["post"]
    assert "security" not in document["paths"]["/health/ready"]["get"]


def test_parameters_are_described_as_this_service_takes_them(make_client: MakeClient) -> None:
    document = make_client(models="brightness,other", max_faces=7).get("/openapi.json").json()
    parameters = {each["name"]: each["schema"] for each in document["paths"]["/v1/predict"]["post"]["parameters"]}
    assert parameters["model"]["enum"] == ["brightness", "other"]
    assert parameters["max_faces"]["maximum"] == 7
    assert "null" not in str(parameters)
