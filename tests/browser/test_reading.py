"""What the page says of a face is what the service replied."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import places, read, read_altered, set_threshold, shown_probability, unfold


@pytest.mark.parametrize("age", [1, 18, 37, 100])
def test_slider_shows_the_replys_number(page: Page, photos: Path, age: int) -> None:
    reply = read(page, photos / "person.jpg")
    set_threshold(page, age)
    assert shown_probability(page) == reply["faces"][0]["threshold_probabilities"][age - 1]


def test_chosen_threshold_is_answered_in_a_sentence(page: Page, photos: Path) -> None:
    p = read(page, photos / "person.jpg")["faces"][0]["threshold_probabilities"]
    sentence = page.locator(".gate")
    expect(sentence).to_have_text(f"{100 * p[17]:.1f}% likely to be 18 or older")
    page.get_by_role("button", name="25", exact=True).click()
    expect(sentence).to_have_text(f"{100 * p[24]:.1f}% likely to be 25 or older")
    expect(page.get_by_role("button", name="25", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#threshold")).to_have_value("25")


def test_sentence_never_claims_certainty(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    set_threshold(page, 1)
    expect(page.locator(".gate")).to_have_text("More than 99.9% likely to be 1 or older")
    set_threshold(page, 100)
    expect(page.locator(".gate")).to_have_text("Less than 0.1% likely to be 100 or older")


def test_slider_lies_under_the_curve(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    for age in (1, 50, 100):
        set_threshold(page, age)
        dot, slider = places(page.locator("#density .dot"), page.locator("#threshold"))
        thumb = slider["x"] + 13 + (slider["width"] - 26) * (age - 1) / 99
        assert dot["x"] + dot["width"] / 2 == pytest.approx(thumb, abs=1)


def test_click_on_the_curve_moves_the_threshold(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    (box,) = places(page.locator("#density"))
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 100)
    expect(page.locator("#threshold")).to_have_value("50")


def test_chart_has_an_axis_of_ages(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    expect(page.locator("#density .tick")).to_have_text([*(str(age) for age in range(0, 101, 10)), "age in years"])


def test_chart_says_median_mean_and_interval(page: Page, photos: Path) -> None:
    face = read(page, photos / "person.jpg")["faces"][0]
    mean = sum(face["threshold_probabilities"])
    label = page.locator("#density svg").get_attribute("aria-label") or ""
    assert f"mean {mean:.1f}" in label
    assert f"interval {face['interval']['low']} to {face['interval']['high']}" in label


@pytest.mark.parametrize("ages", [range(24, 41), range(1, 3), range(94, 101), [50]])
def test_smooth_curve_keeps_what_the_reply_says(page: Page, ages: Sequence[int]) -> None:
    """Probabilities as ragged as they come: every second one is three times the others."""
    weights = np.array([3.0 if age % 2 else 1.0 if age in ages else 0.0 for age in range(101)])
    weights[[age for age in range(101) if age not in ages]] = 0
    mass = weights / weights.sum()
    face = {"threshold_probabilities": (1 - np.cumsum(mass))[:100].tolist()}
    mean = float(mass @ np.arange(101))
    face["standard_deviation"] = float(mass @ (np.arange(101) - mean) ** 2) ** 0.5
    curve = page.evaluate("face => import('./distribution.js').then((it) => it.smoothDensity(face))", face)
    age, share = (np.array([point[key] for point in curve]) for key in ("age", "density"))
    share = share * (age[1] - age[0])
    assert share.sum() == pytest.approx(1, abs=1e-9)
    assert share @ age == pytest.approx(mean, abs=0.2)
    spread = (share @ (age - mean) ** 2) ** 0.5
    assert spread <= 1.05 * (face["standard_deviation"] ** 2 + 1 / 12) ** 0.5, (
        "a year is spread over a year, then smoothed"
    )
    if len(ages) > 10:
        inside = share[(age > ages[0] + 2) & (age < ages[-1] - 2)]
        assert np.abs(np.diff(inside)).max() < 0.05 * share.max(), "no teeth"


def test_details_hold_the_figures_until_they_are_wanted(page: Page, photos: Path) -> None:
    face = read(page, photos / "person.jpg")["faces"][0]
    figures = page.locator("#figures")
    expect(figures).to_be_hidden()
    unfold(page, "details")
    for said in ("Median", "Mean", "Standard deviation"):
        expect(figures).to_contain_text(said)
    expect(figures).to_contain_text(f"{face['standard_deviation']:.1f} years")


def test_level_is_asked_for(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    unfold(page, "details")
    with page.expect_response(lambda response: "interval=0.5" in response.url) as caught:
        page.locator("#level").select_option("0.5")
    interval = json.loads(caught.value.text())["faces"][0]["interval"]
    expect(page.locator("#range")).to_have_text(f"As likely as not {interval['low']} to {interval['high']}")


def test_warnings_are_sentences(page: Page, photos: Path) -> None:
    assert "small_face" in read(page, photos / "small.jpg")["faces"][0]["warnings"]
    expect(page.locator("#warnings li").first).to_contain_text("This face is small. A closer picture")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("exposure", "Better light would give a surer estimate."),
        ("blurred", "A sharper picture would give a surer estimate."),
        ("wide_interval", "The model is less sure than usual of this face."),
        ("edge_of_range", "the end of what the model knows"),
        ("not_yet_known", "The service warns: not_yet_known"),
    ],
)
def test_warning_of_a_face_is_said(page: Page, photos: Path, code: str, sentence: str) -> None:
    read_altered(page, photos / "person.jpg", lambda reply: reply["faces"][0].update(warnings=[code]))
    expect(page.locator("#warnings li")).to_have_text(re.compile(re.escape(sentence)))


def test_warnings_of_the_picture_are_said_once(page: Page, photos: Path) -> None:
    def alter(reply: dict[str, Any]) -> None:
        reply["image"] |= {"more_faces": True, "warnings": ["views_capped"]}
        reply["faces"][0]["warnings"] = ["views_capped"]

    read_altered(page, photos / "person.jpg", alter)
    expect(page.locator("#warnings li")).to_have_text([re.compile("more faces"), re.compile("Faces may be missing")])


def test_picture_without_a_face_has_its_warning_too(page: Page, photos: Path) -> None:
    read_altered(page, photos / "nobody.png", lambda reply: reply["image"].update(warnings=["views_capped"]))
    expect(page.locator("#warnings li")).to_contain_text("Faces may be missing")
