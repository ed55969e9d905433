from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from service.runtime.loading import load
from tests.pictures import astronaut
from tests.service.conftest import MakeClient
from tests.service.doubles import encoded, grey
from tests.service.running import LiveServer


def post(client: httpx.Client, data: bytes, **params: Any) -> Any:
    reply = client.post("/predict", files={"file": ("a.png", data)}, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize(("value", "age"), [(51, 20), (102, 40), (204, 80)])
def test_age_is_the_models(client: httpx.Client, value: int, age: int) -> None:
    (face,) = post(client, grey(value))["faces"]
    assert face["age"] == pytest.approx(age, abs=1e-4)


def test_reply_has_exactly_the_documented_members(client: httpx.Client) -> None:
    reply = post(client, grey())
    assert list(reply) == ["request_id", "model", "image", "faces", "timings_ms"]
    assert list(reply["faces"][0]) == [
        "box",
        "detection_confidence",
        "landmarks",
        "age",
        "variance",
        "standard_deviation",
        "interval",
        "threshold_probabilities",
        "at_least",
        "warnings",
    ]
    assert reply["image"] == {"width": 64, "height": 64, "more_faces": False, "warnings": []}
    assert reply["model"] == {"name": "brightness", "version": "1.0.0"}


def test_threshold_probabilities_are_a_hundred_and_never_rise(client: httpx.Client) -> None:
    curve = post(client, grey(100))["faces"][0]["threshold_probabilities"]
    assert len(curve) == 100
    assert curve == sorted(curve, reverse=True)
    assert len(set(curve)) > 2


def test_at_least_is_the_threshold_probability_before(client: httpx.Client) -> None:
    (face,) = post(client, grey(100), thresholds="18,39,40,100")["faces"]
    curve = face["threshold_probabilities"]
    assert face["at_least"] == {"18": curve[17], "39": curve[38], "40": curve[39], "100": curve[99]}


def test_numbers_are_rounded_to_what_they_are_worth(client: httpx.Client) -> None:
    (face,) = post(client, grey(101, side=63), thresholds="18,40")["faces"]
    for values, digits in (
        ([*face["threshold_probabilities"], *face["at_least"].values(), face["detection_confidence"]], 6),
        ([face["age"], face["variance"], face["standard_deviation"]], 2),
        ([*face["box"].values(), *face["landmarks"]["left_eye"]], 1),
    ):
        assert values == [round(value, digits) for value in values]
    assert not 0 < min(face["threshold_probabilities"]) < 1e-6
    assert face["box"]["x"] == 15.8


def test_summary_leaves_out_the_threshold_probabilities(client: httpx.Client) -> None:
    (whole,), (short,) = (
        post(client, grey(), thresholds="18", fields=fields)["faces"] for fields in ("all", "summary")
    )
    assert whole.pop("threshold_probabilities")
    assert short == whole
    reply = client.post("/predict/batch", params={"fields": "summary"}, files={"files": grey()})
    assert "threshold_probabilities" not in reply.json()["results"][0]["prediction"]["faces"][0]


def test_raw_body_gives_the_same_faces_as_a_form(client: httpx.Client) -> None:
    raw = client.post("/predict", content=grey(), headers={"content-type": "image/png"})
    assert raw.json()["faces"] == post(client, grey())["faces"]
    assert raw.json()["faces"] != post(client, grey(60))["faces"]


@pytest.mark.parametrize("before", ["", "data:image/png;base64,", "DATA:image/png;charset=x;base64,"])
def test_json_with_base64_gives_the_same_faces_as_a_form(client: httpx.Client, before: str) -> None:
    image = before + base64.encodebytes(grey()).decode()  # in lines, as many programs write it
    reply = client.post("/v1/predict", json={"image": image}, params={"thresholds": "18"})
    assert reply.json()["faces"] == post(client, grey(), thresholds="18")["faces"]


def test_addresses_with_a_version_answer_as_those_without(client: httpx.Client) -> None:
    for path, field in (("/predict", "file"), ("/predict/batch", "files")):
        stable, bare = (client.post(prefix + path, files={field: grey()}).json() for prefix in ("/v1", ""))
        assert stable.keys() == bare.keys()
    assert client.get("/v1/models").json() == client.get("/models").json()
    assert client.get("/v1/models/brightness").json() == client.get("/models/brightness").json()


def test_no_face_is_an_empty_list(client: httpx.Client) -> None:
    assert post(client, grey(0))["faces"] == []


def test_undetected_face_is_the_whole_picture_without_landmarks(client: httpx.Client) -> None:
    (face,) = post(client, grey(51), detect="false")["faces"]
    assert face["landmarks"] is None
    assert face["box"] == {"x": 0.0, "y": 0.0, "width": 64.0, "height": 64.0}


def test_face_below_the_asked_size_is_left_out(client: httpx.Client) -> None:
    assert len(post(client, grey(), min_face_size=32)["faces"]) == 1
    assert post(client, grey(), min_face_size=33)["faces"] == []


def test_settings_say_the_smallest_face_of_callers_that_do_not(make_client: MakeClient) -> None:
    assert post(make_client(min_face_size=33), grey())["faces"] == []


def test_named_model_answers(make_client: MakeClient) -> None:
    client = make_client(models="brightness,other", default_model="brightness")
    assert post(client, grey(), model="other")["model"]["name"] == "other"
    assert post(client, grey())["model"]["name"] == "brightness"


def test_interval_level_is_the_one_asked_for(client: httpx.Client) -> None:
    assert post(client, grey(), interval=0.5)["faces"][0]["interval"]["level"] == 0.5


@pytest.mark.parametrize(("path", "field"), [("/predict", "file"), ("/predict/batch", "files")])
def test_a_wrong_parameter_is_named_with_what_would_be_right(client: httpx.Client, path: str, field: str) -> None:
    wrong = client.post(path, params={"interval": "0.3"}, files={field: grey()})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:agelens:problem:invalid-parameter")
    assert wrong.json()["detail"] == (
        "interval in the query: should be greater than or equal to 0.5 (level of the interval, 0.5 to 0.99)"
    )
    wrong = client.post(path, params={"thresholds": "18;25"}, files={field: grey()})
    assert re.match(r"thresholds in the query: should be a whole number .* as 18,25", wrong.json()["detail"])
    assert "^" not in wrong.json()["detail"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("treshold", "treshold in the query is not known; did you mean thresholds?"),
        ("Max_Faces", "Max_Faces in the query is not known; did you mean max_faces?"),
        ("colour", "colour in the query is not known; known: model, thresholds, max_faces, "),
    ],
)
def test_an_unknown_parameter_is_named_with_the_nearest_known_one(client: httpx.Client, name: str, said: str) -> None:
    reply = client.post("/predict", params={name: "1"}, files={"file": grey()})
    assert (reply.status_code, reply.json()["detail"][: len(said)]) == (422, said)


@pytest.mark.parametrize("query", ["thresholds=18,25", "thresholds=18,%2025", "thresholds=18&thresholds=25"])
def test_thresholds_are_separated_by_commas_or_given_one_by_one(client: httpx.Client, query: str) -> None:
    (face,) = client.post(f"/predict?{query}", files={"file": grey()}).json()["faces"]
    assert face["at_least"].keys() == {"18", "25"}


def test_more_faces_than_the_settings_allow_cannot_be_asked_for(make_client: MakeClient) -> None:
    client = make_client(max_faces=3)
    reply = client.post("/predict", params={"max_faces": 4}, files={"file": grey()})
    assert (reply.status_code, reply.json()["detail"]) == (422, "max_faces: at most 3 faces are returned here")
    assert len(post(client, grey(), max_faces=3)["faces"]) == 1


def test_a_slow_model_is_asked_about_fewer_faces_of_a_picture() -> None:
    face = cv2.resize(astronaut()[20:240, 120:340], (110, 110), interpolation=cv2.INTER_AREA)
    sheet = encoded(np.tile(face, (5, 8, 1)), "JPEG")
    with LiveServer(load, models="ensemble-int8,coral-mobilenet", max_faces=40) as server, server.client() as client:
        fast = post(client, sheet, model="ensemble-int8", max_faces=40)
        slow = post(client, sheet, model="coral-mobilenet", max_faces=40)
        said = {model["name"]: model["max_faces"] for model in client.get("/v1/models").json()["models"]}
    assert len(fast["faces"]) > 20 > len(slow["faces"]) > 5
    assert said == {"ensemble-int8": 40, "coral-mobilenet": len(slow["faces"])}
    assert slow["image"]["more_faces"]


def test_only_a_mix_of_ages_that_the_settings_name_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mix.csv").write_text("age,share\n12,1\n")
    settings = {"models": "ensemble-int8", "priors": f"pupils={tmp_path / 'mix.csv'}"}
    with LiveServer(load, **settings) as server, server.client() as client:
        for path, field in (("/predict", "file"), ("/predict/batch", "files")):
            known, unknown = (client.post(f"{path}?prior={name}", files={field: grey()}) for name in ("pupils", "x"))
            assert (known.status_code, unknown.status_code) == (200, 422), known.text
            assert "urn:" not in known.text
            assert "or one of pupils, not 'x'" in unknown.json()["detail"]


def test_good_request_id_comes_back_and_a_bad_one_is_replaced(client: httpx.Client) -> None:
    for given, kept in (("abc-1.2_3", True), ("line\tbreak", False), ("x" * 65, False)):
        reply = client.post("/predict", files={"file": grey()}, headers={"x-request-id": given})
        assert reply.headers["x-request-id"] == reply.json()["request_id"]
        assert (reply.json()["request_id"] == given) is kept


def test_pixels_are_limited_by_the_settings(make_client: MakeClient) -> None:
    client = make_client(max_pixels=64 * 64 - 1)
    reply = client.post("/predict", files={"file": grey()})
    assert (reply.status_code, reply.json()["type"]) == (413, "urn:agelens:problem:picture-too-large")
