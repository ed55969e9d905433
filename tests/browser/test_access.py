"""The page works for everybody: keyboard, screen reader, small screen, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.actions import choose, compare, places, read, unfold
from tests.browser.conftest import OpenPage

AXE_OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
}
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDE, NARROW = (1280, 900), (390, 844)


def complaints(page: Page) -> str:
    results = Axe().run(page, options=AXE_OPTIONS)
    return "" if results.violations_count == 0 else results.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_axe_finds_nothing(open_page: OpenPage, photos: Path, scheme: str, size: tuple[int, int]) -> None:
    page = open_page(*size, scheme)
    assert complaints(page) == ""
    read(page, photos / "pair.jpg", photos / "damaged.jpg")
    unfold(page, "details")
    unfold(page, "exchange")
    compare(page)
    page.get_by_text("About this model").click()
    assert complaints(page) == ""
    page.locator(".frame-button").nth(1).click()
    expect(page.locator("#trouble")).to_be_visible()
    assert complaints(page) == ""


def test_axe_finds_nothing_in_dialogues(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    assert complaints(page) == ""
    page.get_by_role("button", name="Cancel").click()
    page.evaluate("document.getElementById('key-dialog').showModal()")
    assert complaints(page) == ""


def test_everything_by_keyboard(page: Page, photos: Path) -> None:
    press = page.keyboard.press
    page.on("filechooser", lambda _: None)  # from here on Chromium hands choosers over; asked for later, it may be late
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    press("Tab")
    expect(page.get_by_role("button", name="Choose photos")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        press("Enter")
    chooser.value.set_files([photos / "pair.jpg", photos / "person.jpg"])
    expect(page.locator("#reading")).to_be_visible()
    expect(page.locator("#photo-title")).to_be_focused()
    press("Tab")  # Remove
    press("Tab")
    expect(page.get_by_role("radio", name="Face 1 of 2")).to_be_focused()
    press("ArrowRight")
    expect(page.get_by_role("radio", name="Face 2 of 2")).to_be_checked()
    press("Tab")
    press("ArrowRight")
    expect(page.locator("#photo-title")).to_have_text("person.jpg")
    expect(page.locator("#reading")).to_be_visible()
    page.get_by_role("button", name="65", exact=True).focus()
    press("Enter")
    expect(page.locator("#threshold-age")).to_have_text("65")
    press("Tab")
    expect(page.locator("#threshold")).to_be_focused()
    press("ArrowRight")
    expect(page.locator("#threshold-age")).to_have_text("66")
    press("Tab")
    press("Enter")  # Details
    press("Tab")
    expect(page.locator("#level")).to_be_focused()
    press("ArrowDown")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    press("Tab")
    press("Enter")  # Model
    press("Tab")
    press("ArrowRight")
    expect(page.locator(".model-card:focus")).to_have_attribute("aria-checked", "true")
    page.locator("#exchange > summary").focus()
    press("Enter")
    press("Tab")
    press("ArrowRight")
    expect(page.locator("#code")).to_contain_text("curl -F")


def test_screen_reader_is_told_what_was_found(page: Page, photos: Path) -> None:
    age = round(read(page, photos / "person.jpg")["faces"][0]["age"])
    expect(page.locator("#status")).to_contain_text(f"person.jpg: Face 1 of 1, about {age} years")


def test_slider_speaks_the_probability(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    page.locator("#threshold").fill("30")
    spoken = page.locator("#threshold").get_attribute("aria-valuetext") or ""
    assert spoken == f"30 or older: {page.locator('#gate').inner_text()}"


@pytest.mark.parametrize("width", [320, 360, 768])
def test_narrow_screen_never_scrolls_sideways(open_page: OpenPage, photos: Path, width: int) -> None:
    page = open_page(width, 700)
    overflow = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(overflow) <= 0
    read(page, photos / "pair.jpg", photos / "person.jpg")
    unfold(page, "details")
    unfold(page, "exchange")
    compare(page)
    assert page.evaluate(overflow) <= 0


def test_narrow_screen_shows_the_answer_before_the_photo(open_page: OpenPage, photos: Path) -> None:
    page = open_page(*NARROW)
    read(page, photos / "person.jpg")
    gate, photo = places(page.locator("#gate"), page.locator("#photo"))
    assert gate["y"] + gate["height"] <= photo["y"]
    assert photo["y"] < NARROW[1] / 2, "the photograph is to be seen, too"


def test_wide_screen_shows_the_answer_beside_the_photo(open_page: OpenPage, photos: Path) -> None:
    page = open_page(*WIDE)
    read(page, photos / "person.jpg")
    answer, photo = places(page.locator("#answer"), page.locator("#photo"))
    assert photo["x"] + photo["width"] <= answer["x"]
    assert answer["y"] < photo["y"] + photo["height"]


def test_reduced_motion_is_kept(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    moving = "getComputedStyle(document.getElementById('scan'), '::after').animationName"
    assert page.evaluate(moving) == "none"
    assert open_page().evaluate(moving) == "sweep"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_screenshots_to_look_at(
    open_page: OpenPage, photos: Path, scheme: str, name: str, size: tuple[int, int]
) -> None:
    page = open_page(*size, scheme)
    page.screenshot(path=SCREENSHOTS / f"welcome-{name}-{scheme}.png", full_page=True)
    choose(page, photos / "pair.jpg", photos / "person.jpg", photos / "damaged.jpg")
    expect(page.locator("#roll-count")).to_contain_text("3 of 3")
    compare(page)
    page.screenshot(path=SCREENSHOTS / f"reading-{name}-{scheme}.png", full_page=True)
    assert (SCREENSHOTS / f"reading-{name}-{scheme}.png").stat().st_size > 10_000
