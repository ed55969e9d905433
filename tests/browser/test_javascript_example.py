"""The JavaScript of the documents, in Chromium, as it stands there."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from tests.docs.reading import Block, blocks

_AS_WRITTEN = """async ({code, data}) => {
  const photo = new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], {type: "image/jpeg"});
  const said = [];
  const console = {log: (...words) => said.push(words)};
  const Code = Object.getPrototypeOf(async () => {}).constructor;
  await new Code("photo", "console", code)(photo, console);
  return said;
}"""


@pytest.mark.parametrize("block", blocks("browser"), ids=str)
def test_javascript_asks_and_reads_the_reply(block: Block, open_page: object, photos: Path) -> None:
    assert callable(open_page)
    page: Page = open_page(bypass_csp=True)  # the page's own policy forbids code made of text, as this test makes it
    data = base64.b64encode((photos / "person.jpg").read_bytes()).decode()
    said = page.evaluate(_AS_WRITTEN, {"code": block.at(urlsplit(page.url).netloc), "data": data})
    (age, at_least_18) = said[0]
    assert 0 <= age <= 100
    assert 0 <= at_least_18 <= 1
