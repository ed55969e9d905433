"""Photographs come in and their faces are shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.actions import choose, drop, paste, places, read, read_altered
from tests.browser.conftest import OpenPage

BUDGET_BYTES = 200_000


def test_page_weighs_less_than_its_budget(open_page: OpenPage) -> None:
    page = open_page()
    sizes = page.evaluate(
        """() => Promise.all(performance.getEntriesByType("resource").map((entry) => entry.name)
        .concat(location.href).map((url) => fetch(url).then((r) => r.arrayBuffer()).then((b) => b.byteLength)))"""
    )
    assert len(sizes) > 10
    assert sum(sizes) < BUDGET_BYTES


def test_chosen_photo_shows_its_age(page: Page, photos: Path) -> None:
    reply = read(page, photos / "person.jpg")
    face = reply["faces"][0]
    expect(page.locator("#age")).to_have_text(f"about {round(face['age'])} years old")
    expect(page.locator("#range")).to_have_text(f"Most likely {face['interval']['low']} to {face['interval']['high']}")


def test_dropped_photo_is_read(page: Page, photos: Path) -> None:
    drop(page, photos / "person.jpg")
    expect(page.locator("#age")).to_contain_text("years")
    expect(page.locator("#veil")).to_be_hidden()


def test_pasted_photo_is_read(page: Page, photos: Path) -> None:
    paste(page, photos / "person.jpg")
    expect(page.locator("#age")).to_contain_text("years")


def test_picture_from_the_camera_is_read(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take picture").click()
    expect(page.locator("#photo-title")).to_have_text("camera-1.jpg")
    expect(page.get_by_role("heading", name="No face found")).to_be_visible()


@pytest.mark.parametrize("name", ["person.jpg", "turned.jpg"])
def test_frame_is_where_the_reply_says(page: Page, photos: Path, name: str) -> None:
    reply = read(page, photos / name)
    photo, frame = places(page.locator("#photo"), page.locator(".face"))
    scale = photo["width"] / reply["image"]["width"]
    assert scale == pytest.approx(photo["height"] / reply["image"]["height"], rel=0.01)
    assert frame["x"] == pytest.approx(photo["x"] + reply["faces"][0]["box"]["x"] * scale, abs=1.5)
    assert frame["y"] == pytest.approx(photo["y"] + reply["faces"][0]["box"]["y"] * scale, abs=1.5)


def test_several_photos_show_progress_and_fail_alone(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg", photos / "damaged.jpg", photos / "pair.jpg", photos / "nobody.png")
    expect(page.locator("#roll-count")).to_have_text("4 of 4 done · 1 failed")
    expect(page.locator("#roll-progress")).to_have_js_property("value", 4)
    expect(page.locator(".frame-badge").nth(2)).to_contain_text("·")
    expect(page.locator(".frame-badge").nth(3)).to_have_text("no face")


def test_failed_photos_keep_name_and_thumbnail(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg", photos / "damaged.jpg", photos / "notes.txt")
    expect(page.locator("#roll-count")).to_have_text("3 of 3 done · 2 failed")
    expect(page.locator(".frame-name")).to_have_text(["person.jpg", "damaged.jpg", "notes.txt"])
    _, damaged, text = page.locator(".frame-button").all()
    expect(damaged.locator(".frame-badge")).to_have_text("failed")
    page.wait_for_function("document.querySelectorAll('.frame-button canvas')[2].hidden")
    drawn = "canvas => canvas.getContext('2d').getImageData(60, 10, 1, 1).data[3]"
    assert damaged.locator("canvas").evaluate(drawn) == 255
    kind = "sheet => getComputedStyle(sheet, '::before').content"
    assert text.locator(".frame-sheet").evaluate(kind) == '"txt"'
    damaged.click()
    expect(page.get_by_role("alert")).to_contain_text("damaged.jpg")


def test_sample_is_one_click(page: Page) -> None:
    page.get_by_role("button", name="Try a sample photo").click()
    expect(page.locator("#photo-title")).to_have_text("astronaut.png")
    expect(page.locator("#age")).to_contain_text("years")


def test_without_a_sample_there_is_no_button(page: Page) -> None:
    page.route("**/sample/*", lambda route: route.fulfill(status=404))
    with page.expect_response("**/sample/thumbnail.jpg"):
        page.reload()
    expect(page.get_by_role("button", name="Choose photos")).to_be_visible()
    expect(page.locator("#sample")).to_be_hidden()


def test_sample_that_cannot_be_fetched_is_explained(page: Page) -> None:
    page.route("**/sample/*.png", lambda route: route.abort())
    page.get_by_role("button", name="Try a sample photo").click()
    expect(page.get_by_role("alert")).to_contain_text("The sample photo could not be fetched")


@pytest.mark.parametrize(("age", "words"), [(0.2, "under 1 year old"), (1.3, "about 1 year old")])
def test_age_of_a_baby_is_said_as_people_do(page: Page, photos: Path, age: float, words: str) -> None:
    read_altered(page, photos / "person.jpg", lambda reply: reply["faces"][0].update(age=age))
    expect(page.locator("#age")).to_have_text(words)


def test_another_photo_is_shown_when_picked(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg", photos / "pair.jpg")
    page.locator(".frame-button").nth(1).click()
    expect(page.locator(".face")).to_have_count(2)
    expect(page.locator("#which")).to_have_text("face 1 of 2")


def test_text_file_is_explained(page: Page, photos: Path) -> None:
    choose(page, photos / "notes.txt")
    expect(page.get_by_role("alert")).to_contain_text("This kind of file is not read")
    expect(page.get_by_role("alert")).to_contain_text("JPEG, PNG, WebP and AVIF")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_damaged_photo_is_explained_with_the_requests_number(page: Page, photos: Path) -> None:
    problem = choose(page, photos / "damaged.jpg")
    expect(page.get_by_role("alert")).to_contain_text("The picture is damaged")
    page.get_by_text("What the service said").click()
    expect(page.get_by_role("alert")).to_contain_text(problem["request_id"])


def test_unreachable_service_is_explained_and_asked_again(page: Page, photos: Path) -> None:
    page.route("**/predict?*", lambda route: route.abort())
    page.locator("#chooser").set_input_files(photos / "person.jpg")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#age")).to_contain_text("years")


def test_busy_service_is_waited_for(page: Page, photos: Path) -> None:
    refusals = [{"status": 503, "headers": {"Retry-After": "0"}, "body": "{}"}]
    page.route("**/predict?*", lambda route: route.fulfill(**refusals.pop()) if refusals else route.continue_())
    page.locator("#chooser").set_input_files(photos / "person.jpg")
    expect(page.locator("#age")).to_contain_text("years")
    assert refusals == []


@pytest.mark.parametrize("key", ["secret", "schlüssel"])
def test_missing_key_is_asked_for_and_sent_as_utf_8(page: Page, photos: Path, key: str) -> None:
    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == f"Bearer {key}":
            route.continue_()
        else:
            route.fulfill(status=401, body="{}")

    page.route("**/models", guard)
    page.reload()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Continue").click()
    page.locator("#chooser").set_input_files(photos / "person.jpg")
    expect(page.locator(".model-card")).not_to_have_count(0)


def test_no_face_offers_to_read_the_whole_picture(page: Page, photos: Path) -> None:
    choose(page, photos / "nobody.png")
    with page.expect_request(lambda request: "detect=false" in request.url):
        page.get_by_role("button", name="Read the whole picture").click()
    expect(page.locator("#age")).to_contain_text("years")


def test_cleared_photos_are_gone(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    address = page.locator("#photo").get_attribute("src")
    page.get_by_role("button", name="Clear all").click()
    expect(page.get_by_role("heading", name="How old does a face look?")).to_be_visible()
    load = "url => Object.assign(new Image(), {src: url}).decode().then(() => 'kept', () => 'gone')"
    assert page.evaluate(load, address) == "gone"
