from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.caller import post_request
from service.errors import InvalidSetting, KeyRejected, RateExceeded
from service.runtime.access import KeyRing, RateLimit, pictures_worth
from tests.service.conftest import MakeClient, MakeServer
from tests.service.doubles import Gate, encoded, grey


def test_without_keys_nobody_needs_one() -> None:
    assert KeyRing(()).identify("") is None


@pytest.mark.parametrize(
    "headers", [{"x-api-key": "new"}, {"authorization": "Bearer old"}, {"authorization": "bearer new"}]
)
def test_any_of_the_keys_opens(make_client: MakeClient, headers: dict[str, str]) -> None:
    assert make_client(api_keys="old,new").get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize("key", ["schlüssel", "clé à", "鍵", "naïve key"])
def test_key_that_is_not_ascii_opens_as_utf_8(make_client: MakeClient, key: str) -> None:
    client = make_client(api_keys=(key,))
    assert client.get("/models", headers=[(b"x-api-key", key.encode())]).status_code == 200
    assert client.get("/models", headers=[(b"authorization", b"Bearer " + key.encode())]).status_code == 200
    assert client.get("/models", headers=[(b"x-api-key", key.encode()[:-1])]).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-api-key": "wrong"}, {"x-api-key": ""}, {"authorization": "Basic old"}, {"x-api-key": b"ol\xe9"}],
)
def test_anything_else_does_not(make_client: MakeClient, headers: dict[str, Any]) -> None:
    reply = make_client(api_keys="old,new").get("/models", headers=headers)
    assert reply.status_code == 401
    assert "X-API-Key" in reply.json()["detail"]


def test_who_may_ask_is_decided_before_what_they_ask(make_client: MakeClient) -> None:
    client = make_client(api_keys="k", rate_limit_per_minute=1)
    wrong = {"interval": 7}
    assert client.post("/predict", params=wrong).status_code == 401
    assert client.post("/predict", params=wrong, headers={"x-api-key": "k"}).status_code == 422
    assert client.post("/predict", files={"file": grey()}, headers={"x-api-key": "k"}).status_code == 200
    assert client.post("/predict", params=wrong, headers={"x-api-key": "k"}).status_code == 429


def rewrite(file: Path, text: str) -> None:
    """Replace the file, as a secret that is mounted is."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


def test_keys_of_a_file_can_be_changed_while_serving(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first\n")
    ring = KeyRing((), file)
    assert ring.identify("first")
    rewrite(file, "second\n\n")
    assert ring.identify("second")
    with pytest.raises(KeyRejected):
        ring.identify("first")


def test_a_comment_in_the_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# team A\nfirst\n  #second\nth#rd\n")
    ring = KeyRing((), tmp_path / "keys")
    assert ring.identify("first")
    assert ring.identify("th#rd")
    for comment in ("# team A", "#second"):
        with pytest.raises(KeyRejected):
            ring.identify(comment)


def test_file_that_vanishes_leaves_its_keys_valid(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first\n")
    ring = KeyRing((), file)
    file.unlink()
    assert ring.identify("first")


def test_emptied_file_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first\n")
    ring = KeyRing((), file)
    rewrite(file, "")
    with pytest.raises(KeyRejected):
        ring.identify("")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "it is not UTF-8"),
        (b"\n", "a file without a key"),
        (b"# none yet\n", "a file without a key"),
    ],
)
def test_file_without_keys_is_refused_at_the_start(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(InvalidSetting, match=f"AGELENS_API_KEYS_FILE .*{said}"):
        KeyRing((), tmp_path / "keys")


def test_bucket_empties_and_says_when_it_fills() -> None:
    rates = RateLimit(per_minute=2)
    rates.charge("a", 2)
    with pytest.raises(RateExceeded, match="2 pictures per minute") as refused:
        rates.check("a")
    assert 0 < (refused.value.retry_after_s or 0) <= 30
    rates.check("b")


def test_batch_may_take_more_than_is_left_but_then_waits_longer() -> None:
    rates = RateLimit(per_minute=60)
    rates.charge("a", 120)
    with pytest.raises(RateExceeded) as refused:
        rates.check("a")
    assert 55 < (refused.value.retry_after_s or 0) <= 61


def test_picture_is_charged_by_its_pixels_and_faces_and_never_less_than_one() -> None:
    assert pictures_worth(640 * 480, 0) == pictures_worth(12_000_000, 10) == 1
    assert pictures_worth(50_000_000, 3) == 4
    assert pictures_worth(1_000_000, 100) == 10


def test_large_pictures_empty_a_key_sooner_than_small_ones(make_client: MakeClient) -> None:
    client = make_client(api_keys="small,large", rate_limit_per_minute=4)
    pictures = {"small": grey(side=40), "large": encoded(np.zeros((5000, 5000, 3), np.uint8))}

    def answered(key: str) -> int:
        asked = (client.post("/predict", files={"file": pictures[key]}, headers={"x-api-key": key}) for _ in range(9))
        return [reply.status_code for reply in asked].index(429)

    assert (answered("small"), answered("large")) == (4, 2)


def test_batch_is_charged_by_what_its_pictures_were_worth(make_client: MakeClient) -> None:
    client = make_client(api_keys="k", rate_limit_per_minute=4)
    large = encoded(np.zeros((5000, 5000, 3), np.uint8))

    def ask() -> int:
        files = [("files", large), ("files", large)]
        return client.post("/predict/batch", files=files, headers={"x-api-key": "k"}).status_code

    assert (ask(), ask()) == (200, 429)


def test_pictures_and_models_need_the_key_and_probes_do_not(make_client: MakeClient) -> None:
    client = make_client(api_keys="k")
    assert client.post("/predict", files={"file": grey()}).status_code == 401
    assert client.post("/predict/batch", params={"interval": 7}).status_code == 401
    assert client.get("/models").status_code == 401
    assert client.get("/health/ready").status_code == client.get("/metrics").status_code == 200
    assert client.get("/models", headers={"x-api-key": "k"}).status_code == 200


def test_rejected_key_says_how_to_bring_one(make_client: MakeClient) -> None:
    reply = make_client(api_keys="k").get("/models")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_each_picture_of_a_batch_counts(make_client: MakeClient) -> None:
    client = make_client(api_keys="k,l", rate_limit_per_minute=3)
    three = [("files", grey())] * 3
    assert client.post("/predict/batch", files=three, headers={"x-api-key": "k"}).status_code == 200
    refused = client.post("/predict", files={"file": grey()}, headers={"x-api-key": "k"})
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert client.post("/predict", files={"file": grey()}, headers={"x-api-key": "l"}).status_code == 200


def test_pictures_that_the_queue_has_no_room_for_are_not_charged(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, api_keys="k,l", rate_limit_per_minute=3, queue_size=3, max_batch_parts=3)
    three, key = [("files", grey())] * 3, {"x-api-key": "k"}
    other = post_request("/predict", grey(), "image/png").replace(b"\r\n", b"\r\nx-api-key: l\r\n", 1)
    with server.client(headers=key) as client, server.connect(other), server.connect(other):
        server.wait_until(waiting=1, running=1)
        assert [client.post("/predict/batch", files=three).status_code for _ in range(2)] == [503, 503]
        gate.open()
        server.wait_until(waiting=0, running=0)
        assert [client.post("/predict/batch", files=three).status_code for _ in range(2)] == [200, 429]


def test_cors_is_off_unless_configured(make_client: MakeClient) -> None:
    origin = {"origin": "https://a.example"}
    assert "access-control-allow-origin" not in make_client().get("/models", headers=origin).headers
    allowed = make_client(cors_origins="https://a.example")
    assert allowed.get("/models", headers=origin).headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in allowed.get("/models", headers={"origin": "https://b.example"}).headers


def test_cors_lets_a_page_ask_first(make_client: MakeClient) -> None:
    asked = {
        "origin": "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    reply = make_client(cors_origins="https://a.example", api_keys="k").options("/predict", headers=asked)
    assert (reply.status_code, reply.headers["access-control-allow-methods"]) == (200, "GET, POST")


def test_cors_refusal_is_logged_with_its_reason(make_client: MakeClient, capfd: pytest.CaptureFixture[str]) -> None:
    asked = {"origin": "https://b.example", "access-control-request-method": "DELETE"}
    reply = make_client(cors_origins="https://a.example").options("/predict", headers=asked)
    assert reply.status_code == 400
    assert "access-control-allow-origin" not in reply.headers
    logged = "".join(capfd.readouterr())
    assert "cors_refused" in logged
    assert "https://b.example" in logged
    assert "origin, method" in logged
