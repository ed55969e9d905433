"""The models: named for people, out of the way until they are wanted, side by side without one left over."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.actions import choose, compare, places, read, unfold
from tests.browser.conftest import OpenPage

Model = dict[str, Any]


def offer(page: Page, *models: Model) -> None:
    """Open the page anew as if the service had loaded these models."""

    def answer(route: Route) -> None:
        route.fulfill(json={"models": models})

    page.route("**/models", answer)
    page.reload()


def loaded(page: Page, service_url: str) -> list[Model]:
    return list(page.request.get(f"{service_url}models").json()["models"])


def model(name: str, family: str, precision: str = "int8", error: float | None = None, default: bool = False) -> Model:
    metrics = {} if error is None else {"val_mae": error}
    return {
        "name": name,
        "version": "1.0.0",
        "family": family,
        "precision": precision,
        "default": default,
        "metrics": metrics,
    }


def titles(page: Page, *models: Model) -> dict[str, str]:
    """What the page calls these models, in the order in which it lists them."""
    said = page.evaluate("models => import('./model_names.js').then((it) => it.titled(models))", models)
    return {each["model"]["name"]: each["title"] for each in said}


def test_an_error_is_that_on_test_photographs_where_there_is_one(page: Page) -> None:
    measured = [{"val_mae": 4.3}, {"val_mae": 4.3, "test_mae": 4.5}, {}]
    ask = "all => import('./model_names.js').then((it) => all.map((metrics) => it.errorOf({ metrics }) ?? null))"
    said = page.evaluate(ask, measured)
    assert said == [4.3, 4.5, None]


def test_models_have_names_that_people_understand(page: Page) -> None:
    assert titles(
        page,
        model("a", "coral", "float32", 4.52),
        model("b", "coral", error=4.53, default=True),
        model("c", "ensemble", error=4.40),
        model("e", "mean-variance", error=4.60),
    ) == {"b": "Fast", "c": "Most accurate", "a": "Full precision", "e": "Second opinion"}


def test_an_ensemble_that_answers_by_default_leaves_the_first_network_to_be_fast(page: Page) -> None:
    assert titles(
        page,
        model("a", "coral", error=4.6),
        model("b", "coral", "float32", 4.6),
        model("c", "ensemble", error=4.3, default=True),
        model("d", "mean-variance", error=4.5),
    ) == {"a": "Fast", "c": "Most accurate", "b": "Full precision", "d": "Second opinion"}


def test_a_network_that_looks_at_the_mirror_image_too_is_not_called_fast(page: Page) -> None:
    assert titles(
        page,
        {**model("a", "coral", error=4.6), "flip": True},
        {**model("b", "coral", "float32", 4.6), "flip": True},
        model("c", "dldl", error=4.6),
        model("d", "ensemble", error=4.3, default=True),
    ) == {"c": "Fast", "d": "Most accurate", "b": "Full precision", "a": "Second opinion"}


def test_one_model_may_be_fast_and_most_accurate(page: Page) -> None:
    others = [model("b", "mean-variance", error=4.6), model("c", "dldl", error=4.7)]
    said = titles(page, model("a", "coral", error=4.1, default=True), *others)
    assert said == {"a": "Fast and most accurate", "b": "Second opinion", "c": "Third opinion"}


def test_unknown_models_keep_their_names(page: Page) -> None:
    strange = [model("mine", "brightness", "float32"), model("yours", "brightness", "float32")]
    assert titles(page, *strange) == {"mine": "mine", "yours": "yours"}


def test_a_model_by_itself_keeps_its_name(page: Page) -> None:
    assert titles(page, model("only", "coral", error=4.5, default=True)) == {"only": "only"}


def test_choice_is_folded_and_names_the_model(page: Page, photos: Path) -> None:
    name = read(page, photos / "person.jpg")["model"]["name"]
    expect(page.locator(".model-card").first).to_be_hidden()
    unfold(page, "models")
    chosen = page.locator(f'.model-card[data-model="{name}"]')
    expect(chosen).to_have_attribute("aria-checked", "true")
    title = chosen.locator(".model-name").inner_text()
    expect(page.locator("#models > summary")).to_contain_text(f"Model: {title}")


def test_choice_is_gone_where_there_is_no_face(page: Page, photos: Path) -> None:
    choose(page, photos / "nobody.png")
    expect(page.get_by_role("heading", name="No face found")).to_be_visible()
    expect(page.locator("#models")).to_be_hidden()


def test_another_model_can_be_chosen(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    unfold(page, "models")
    other = page.locator('.model-card[aria-checked="false"]').first
    name = other.get_attribute("data-model")
    with page.expect_response(lambda response: "/predict" in response.url) as caught:
        other.click()
    assert json.loads(caught.value.text())["model"]["name"] == name
    expect(page.locator(f'.model-card[data-model="{name}"]')).to_have_attribute("aria-checked", "true")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_models_side_by_side_leave_none_over(
    open_page: OpenPage, service_url: str, photos: Path, width: int, count: int
) -> None:
    page = open_page(width, 800)
    models = loaded(page, service_url)
    if len(models) < count:
        models += [{**models[0], "name": f"more-{each}", "default": False} for each in range(count - len(models))]
    default = [each for each in models if each["default"]]
    others = [each for each in models if not each["default"]]
    offer(page, *(default + others)[:count])
    read(page, photos / "person.jpg")
    unfold(page, "models")
    page.get_by_label("Compare all").check()
    expect(page.locator(".model-card .sketch")).to_have_count(min(count, len(loaded(page, service_url))))
    boxes = places(*page.locator(".model-card").all())
    assert len(boxes) == count
    rows = Counter(round(box["y"]) for box in boxes)
    assert set(rows.values()) == {3 if count == 3 else 2}


def test_each_model_says_its_answer(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    compare(page)
    for card in page.locator(".model-card").all():
        expect(card).to_contain_text("most likely")
        expect(card).to_contain_text("18+:")


@pytest.mark.parametrize("width", [1280, 360])
def test_more_models_are_rows_with_the_picture_beside_the_age(
    open_page: OpenPage, service_url: str, photos: Path, width: int
) -> None:
    page = open_page(width, 800)
    models = loaded(page, service_url)
    offer(page, *models, *({**models[0], "name": f"more-{each}", "default": False} for each in range(5 - len(models))))
    read(page, photos / "person.jpg")
    unfold(page, "models")
    page.get_by_label("Compare all").check()
    sketch, age = page.locator(".model-card .sketch").first, page.locator(".model-card .model-age").first
    beside, left = places(sketch, age)
    assert beside["x"] >= left["x"] + left["width"]
    assert beside["y"] < left["y"] + left["height"]


def test_what_is_known_of_a_model_is_said_in_words(page: Page, service_url: str, photos: Path) -> None:
    metrics = {"temperature": 0.9, "val_mae": 4.412, "test_cs5": 0.676}
    offer(page, {**loaded(page, service_url)[0], "metrics": metrics})
    read(page, photos / "person.jpg")
    unfold(page, "models")
    page.get_by_text("About this model").click()
    facts = page.locator("#model-facts")
    expect(facts).to_contain_text("Mean error where it was chosen4.41 yearsWithin 5 years68% of them")
    expect(facts).not_to_contain_text("temperature")
