"""What the page says of a face is what the service replied."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import read, set_threshold, shown_probability
from tests.browser.conftest import OpenPage


@pytest.mark.parametrize("age", [1, 18, 37, 100])
def test_slider_shows_the_replys_number(page: Page, photos: Path, age: int) -> None:
    reply = read(page, photos / "person.jpg")
    set_threshold(page, age)
    assert shown_probability(page) == reply["faces"][0]["threshold_probabilities"][age - 1]


def test_slider_lies_under_the_curve(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    for age in (1, 50, 100):
        set_threshold(page, age)
        dot, slider = page.locator("#curve .dot").bounding_box(), page.locator("#threshold").bounding_box()
        assert dot
        assert slider
        thumb = slider["x"] + 13 + (slider["width"] - 26) * (age - 1) / 99
        assert dot["x"] + dot["width"] / 2 == pytest.approx(thumb, abs=1)


def test_click_on_the_curve_moves_the_threshold(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    box = page.locator("#curve").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    expect(page.locator("#threshold")).to_have_value("50")


def test_charts_say_median_mean_and_interval(page: Page, photos: Path) -> None:
    face = read(page, photos / "person.jpg")["faces"][0]
    mean = sum(face["threshold_probabilities"])
    label = page.locator("#mass svg").get_attribute("aria-label") or ""
    assert f"mean {mean:.1f}" in label
    assert f"interval {face['interval']['low']} to {face['interval']['high']}" in label


def test_level_is_asked_for(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    with page.expect_response(lambda response: "interval=0.5" in response.url) as caught:
        page.get_by_label("Level of the interval").select_option("0.5")
    interval = json.loads(caught.value.text())["faces"][0]["interval"]
    expect(page.locator("#range")).to_have_text(f"{interval['low']} to {interval['high']}")


def test_another_model_can_be_chosen(page: Page, photos: Path) -> None:
    first = read(page, photos / "person.jpg")["model"]["name"]
    other = page.locator(f".model-card:not(:has-text('{first}'))").first
    with page.expect_response(lambda response: "/predict" in response.url) as caught:
        other.click()
    assert json.loads(caught.value.text())["model"]["name"] in other.inner_text()
    expect(other).to_have_attribute("aria-checked", "true")


def test_models_stand_side_by_side(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    page.get_by_label("Side by side").check()
    cards = page.locator(".model-card")
    expect(page.locator(".model-card .sketch")).to_have_count(cards.count())
    for card in cards.all():
        expect(card).to_contain_text("18+:")


def test_warnings_are_sentences(page: Page, photos: Path) -> None:
    assert "small_face" in read(page, photos / "small.jpg")["faces"][0]["warnings"]
    expect(page.locator("#warnings li").first).to_contain_text("This face is small. A closer picture")


def test_json_is_the_reply(page: Page, photos: Path) -> None:
    reply = read(page, photos / "person.jpg")
    assert json.loads(page.locator("#code").inner_text()) == reply


def test_curl_command_gives_the_same_faces(page: Page, photos: Path) -> None:
    reply = read(page, photos / "person.jpg")
    page.get_by_role("tab", name="curl").click()
    command = page.locator("#code").inner_text()
    output = subprocess.run(["bash", "-c", command], cwd=photos, check=True, capture_output=True).stdout
    assert json.loads(output)["faces"] == reply["faces"]


def test_python_code_runs(page: Page, photos: Path) -> None:
    reply = read(page, photos / "person.jpg")
    page.get_by_role("tab", name="Python").click()
    code = page.locator("#code").inner_text()
    output = subprocess.run([sys.executable, "-c", code], cwd=photos, check=True, capture_output=True, text=True).stdout
    assert float(output.split()[0]) == reply["faces"][0]["age"]


def test_copy_puts_the_shown_text_on_the_clipboard(open_page: OpenPage, photos: Path) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    read(page, photos / "person.jpg")
    page.get_by_role("tab", name="curl").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#code").inner_text()
