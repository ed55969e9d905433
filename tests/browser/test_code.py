"""The reply as JSON and the request as code: folded, and what is copied works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import playwright
import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import read, set_threshold, show_code, unfold
from tests.browser.conftest import OpenPage

NODE = Path(playwright.__file__).parent / "driver" / "node"
TABS = ["curl", "Python", "JavaScript"]


def run(tab: str, code: str, folder: Path) -> str:
    """Run the code that stands under `tab` in `folder`; return what it prints."""
    command = {
        "curl": ["bash", "-c", code],
        "Python": [sys.executable, "-c", code],
        "JavaScript": [str(NODE), "--input-type=module", "--eval", code],
    }[tab]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout


def printed(tab: str, output: str) -> list[float]:
    """Return age, interval and probability of the first face."""
    if tab != "curl":
        return [float(word) for word in output.split()]
    face = json.loads(output)["faces"][0]
    return [face["age"], face["interval"]["low"], face["interval"]["high"], *face["at_least"].values()]


def test_code_is_folded_until_it_is_wanted(page: Page, photos: Path) -> None:
    read(page, photos / "person.jpg")
    expect(page.locator("#code")).to_be_hidden()
    unfold(page, "exchange")
    expect(page.locator("#code")).to_be_visible()


def test_json_is_the_reply(page: Page, photos: Path) -> None:
    reply = read(page, photos / "person.jpg")
    assert json.loads(show_code(page, "JSON")) == reply


@pytest.mark.parametrize("tab", TABS)
def test_copied_code_asks_with_the_chosen_options(page: Page, photos: Path, tab: str) -> None:
    read(page, photos / "person.jpg")
    set_threshold(page, 25)
    unfold(page, "models")
    page.locator('.model-card[aria-checked="false"]').first.click()
    unfold(page, "details")
    with page.expect_response(lambda response: "interval=0.5" in response.url) as caught:
        page.locator("#level").select_option("0.5")
    face = json.loads(caught.value.text())["faces"][0]
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    low, high = face["interval"]["low"], face["interval"]["high"]
    expected = [face["age"], low, high, face["threshold_probabilities"][24]]
    assert printed(tab, run(tab, show_code(page, tab), photos)) == pytest.approx(expected)


@pytest.mark.parametrize("tab", TABS)
def test_names_with_quotes_and_spaces_are_written_right(page: Page, photos: Path, tmp_path: Path, tab: str) -> None:
    odd = tmp_path / """it's "me", über.jpg"""
    odd.write_bytes((photos / "person.jpg").read_bytes())
    age = read(page, odd)["faces"][0]["age"]
    assert printed(tab, run(tab, show_code(page, tab), tmp_path))[0] == age


@pytest.mark.parametrize("tab", TABS)
def test_code_for_the_sample_fetches_it(page: Page, tmp_path: Path, tab: str) -> None:
    page.get_by_role("button", name="Try a sample photo").click()
    expect(page.locator("#reading")).to_be_visible()
    unfold(page, "exchange")
    age = json.loads(page.locator("#code").inner_text())["faces"][0]["age"]
    page.get_by_role("tab", name=tab).click()
    assert printed(tab, run(tab, page.locator("#code").inner_text(), tmp_path))[0] == age


def test_reply_has_the_chosen_threshold(page: Page, photos: Path) -> None:
    with page.expect_request(lambda request: "/predict" in request.url) as caught:
        reply = read(page, photos / "person.jpg")
    assert parse_qs(urlsplit(caught.value.url).query)["thresholds"] == ["18"]
    assert reply["faces"][0]["at_least"].keys() == {"18"}


@pytest.mark.parametrize("tab", TABS)
def test_key_stays_out_of_the_code(page: Page, photos: Path, tab: str) -> None:
    page.evaluate("document.getElementById('key-dialog').showModal()")
    page.get_by_label("API key").fill("secret")
    page.get_by_role("button", name="Continue").click()
    read(page, photos / "person.jpg")
    code = show_code(page, tab)
    assert "KEY" in code
    assert "secret" not in code


def test_copy_puts_the_shown_text_on_the_clipboard(open_page: OpenPage, photos: Path) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    read(page, photos / "person.jpg")
    code = show_code(page, "curl")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == code
