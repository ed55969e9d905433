from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.caller import post_request
from service.api.middleware import new_request_id
from service.runtime.logs import configure_logs
from tests.service.conftest import MakeClient, MakeServer
from tests.service.doubles import Gate, grey


def metrics_of(client: httpx.Client) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_requests_are_counted_by_method_route_and_status(make_client: MakeClient) -> None:
    client = make_client()
    client.post("/predict", files={"file": grey()})
    client.post("/predict", files={"file": b"bad"})
    client.get("/secret/../path")
    client.request("BREW", "/predict")
    client.get("/models/brightness")
    client.get("/v1/models/brightness")
    seen = metrics_of(client)
    assert seen["http_requests_total", ("POST", "/predict", "200")] == 1
    assert seen["http_requests_total", ("POST", "/predict", "415")] == 1
    assert seen["http_requests_total", ("GET", "unmatched", "404")] == 1
    assert seen["http_requests_total", ("GET", "/models/{name}", "200")] == 1
    assert seen["http_requests_total", ("GET", "/v1/models/{name}", "200")] == 1
    assert not any("secret" in label for _, labels in seen for label in labels)


def test_page_is_counted_under_its_path(make_client: MakeClient) -> None:
    client = make_client()
    client.get("/docs")
    assert metrics_of(client)["http_requests_total", ("GET", "/docs", "200")] == 1


def test_pictures_faces_and_stages_are_counted(make_client: MakeClient) -> None:
    client = make_client()
    for value in (51, 0):
        client.post("/predict", files={"file": grey(value)})
    seen = metrics_of(client)
    assert seen["agelens_pictures_total", ()] == 2
    assert seen["agelens_faces_total", ()] == 1
    assert seen["agelens_pictures_without_face_total", ()] == 1
    for stage in ("decode", "detect", "crop", "estimate", "queue"):
        assert seen[f"agelens_{stage}_seconds_count", ()] == 2
    assert seen["agelens_predicted_age_years_sum", ("brightness",)] == pytest.approx(20, abs=1e-3)
    assert seen["agelens_interval_width_years_count", ("brightness",)] == 1


@pytest.mark.parametrize(
    ("asked", "ages", "widths"),
    [({"interval": 0.5}, 2, 1), ({"prior": "uniform"}, 1, 1), ({"thresholds": "18"}, 2, 2)],
)
def test_drift_is_not_told_from_what_a_caller_asks_for(
    make_client: MakeClient, asked: dict[str, str | float], ages: int, widths: int
) -> None:
    client = make_client()
    for params in ({}, asked):
        assert client.post("/predict", files={"file": grey(51)}, params=params).status_code == 200
    client.post("/predict/batch", files={"files": grey(51)}, params=asked)
    seen = metrics_of(client)
    assert seen["agelens_predicted_age_years_count", ("brightness",)] == 2 * ages - 1
    assert seen["agelens_interval_width_years_count", ("brightness",)] == 2 * widths - 1
    assert seen["agelens_faces_total", ()] == 3


def test_batch_counts_each_picture(make_client: MakeClient) -> None:
    client = make_client()
    client.post("/predict/batch", files=[("files", grey()), ("files", grey()), ("files", b"bad")])
    seen = metrics_of(client)
    assert seen["agelens_pictures_total", ()] == 2
    assert seen["agelens_rejected_total", ("unsupported-picture",)] == 1


def test_models_are_told(make_client: MakeClient) -> None:
    seen = metrics_of(make_client(models="brightness,other"))
    names = [name for (metric, labels) in seen for name in labels if metric == "agelens_model_info"]
    assert {"brightness", "other"} <= set(names)


def test_queue_depth_is_read_while_it_is_full(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True)
    good = post_request("/predict", grey(), "image/png")
    with server.connect(good), server.connect(good), server.client() as client:
        gate.wait_for()
        server.wait_until(waiting=1, running=1)
        seen = metrics_of(client)
    assert seen["agelens_queue_depth", ()] == seen["agelens_pictures_in_flight", ()] == 1
    assert seen["http_requests_in_flight", ()] == 3


def test_two_apps_do_not_share_figures(make_client: MakeClient) -> None:
    first, second = make_client(), make_client()
    first.post("/predict", files={"file": grey()})
    assert metrics_of(second)["agelens_pictures_total", ()] == 0


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logs("info", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before, level


def test_warning_of_a_library_is_a_line_of_the_log(written: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logs("info", written)  # once more: pytest records warnings in its own way in each phase of a test
        warnings.warn("Truncated File Read", UserWarning, stacklevel=1)
    line = json.loads(written.getvalue())
    assert (line["event"], line["warning"], line["level"]) == ("library_warning", "Truncated File Read", "warning")


def test_log_is_json_with_the_request_id(make_client: MakeClient, written: io.StringIO) -> None:
    client = make_client()
    client.post("/predict", files={"file": ("secret.png", grey())}, headers={"x-request-id": "abc"})
    client.get("/health/live")  # the first request's line is written after its answer, and before this one's
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["request_id"], line["route"], line["status"], line["faces"]) == ("abc", "/predict", 200, 1)
    assert "secret" not in written.getvalue()


def test_log_of_a_failure_shows_no_locals(make_client: MakeClient, written: io.StringIO) -> None:
    client = make_client()

    def broken() -> None:
        picture = b"private picture"
        raise RuntimeError(len(picture))

    try:
        broken()
    except RuntimeError:
        structlog.stdlib.get_logger("agelens.http").exception("request_failed")
    assert "RuntimeError" in written.getvalue()
    assert "private picture" not in written.getvalue()
    assert client.get("/health/live").status_code == 200


def test_probes_are_not_logged_at_info(make_client: MakeClient, written: io.StringIO) -> None:
    make_client().get("/health/live")
    assert "/health/live" not in written.getvalue()


def test_request_ids_are_ulids_that_sort_by_time() -> None:
    ids = [new_request_id() for _ in range(3)]
    assert {len(one) for one in ids} == {26}
    assert len(set(ids)) == 3
    assert [one[:8] for one in ids] == sorted(one[:8] for one in ids)
