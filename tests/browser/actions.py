"""What a person does on the page, in one call each."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import FilePayload, FloatRect, Locator, Page, expect

_MAKE_TRANSFER = """files => {
  const transfer = new DataTransfer();
  for (const {name, data} of files) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], name, {type: name.endsWith("png") ? "image/png" : "image/jpeg"}));
  }
  return transfer;
}"""


def choose(page: Page, *paths: Path) -> dict[str, Any]:
    """Choose files and return the service's first reply."""
    with page.expect_response(lambda response: "/predict" in response.url) as caught:
        page.locator("#chooser").set_input_files(paths)
    reply: dict[str, Any] = json.loads(caught.value.text())
    return reply


def read(page: Page, *paths: Path) -> dict[str, Any]:
    """Choose files and wait until the first one's reading is on the page."""
    reply = choose(page, *paths)
    expect(page.locator("#reading")).to_be_visible()
    return reply


def drop(page: Page, *paths: Path) -> None:
    """Drop files onto the page."""
    transfer = _transfer(page, paths)
    for kind in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#content", kind, {"dataTransfer": transfer, "bubbles": True, "cancelable": True})


def paste(page: Page, path: Path) -> None:
    """Paste a picture."""
    _transfer(page, (path,)).evaluate(
        "transfer => document.body.dispatchEvent(new ClipboardEvent('paste', "
        "{clipboardData: transfer, bubbles: true, cancelable: true}))"
    )


def unfold(page: Page, fold: str) -> None:
    """Open the part of the page that is folded under this id."""
    page.locator(f"#{fold} > summary").click()


def compare(page: Page) -> None:
    """Ask all models about the face and wait until each has answered."""
    unfold(page, "models")
    page.get_by_label("Compare all").check()
    expect(page.locator(".model-card .sketch")).to_have_count(page.locator(".model-card").count())


def places(*elements: Locator) -> list[FloatRect]:
    """Return where elements are drawn, all at one time; what the page draws anew has no place for a moment."""
    for _ in range(100):
        boxes = [box for element in elements if (box := element.bounding_box())]
        if len(boxes) == len(elements):
            return boxes
        elements[0].page.wait_for_timeout(50)
    raise AssertionError(f"not all of {elements} are drawn")


def show_code(page: Page, tab: str) -> str:
    """Open the code, choose a tab and return its text."""
    unfold(page, "exchange")
    page.get_by_role("tab", name=tab, exact=True).click()
    return page.locator("#code").inner_text()


def read_altered(page: Page, path: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    """Choose a file, and let the page have the service's reply about it as `alter` changes it."""
    form: FilePayload = {"name": path.name, "mimeType": "image/jpeg", "buffer": path.read_bytes()}
    reply = page.request.post(f"{page.url}predict", multipart={"file": form}).json()
    alter(reply)
    page.route("**/predict?*", lambda route: route.fulfill(json=reply))
    choose(page, path)


def set_threshold(page: Page, age: int) -> None:
    """Move the slider."""
    page.locator("#threshold").fill(str(age))


def shown_probability(page: Page) -> float:
    """The number behind the percentage in the answer."""
    return float(page.locator("#gate data").get_attribute("value") or "nan")


def _transfer(page: Page, paths: tuple[Path, ...]) -> Any:
    files = [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    return page.evaluate_handle(_MAKE_TRANSFER, files)
