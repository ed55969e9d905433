"""Photographs the page with NASA's portrait, in Chromium: `python -m docs.generate.screenshot`."""

from __future__ import annotations

import io
import shutil
import sys

from PIL import Image
from playwright.sync_api import FilePayload, sync_playwright
from skimage.data import astronaut

from docs.generate.measured import IMAGES
from service.inference.lockfile import default_models_dir
from service.runtime.loading import load
from tests.service.running import LiveServer

WIDTH, HEIGHT, COLOURS = 1180, 900, 200


def photograph(url: str) -> bytes:
    """Return the page as PNG once the portrait is read."""
    portrait = io.BytesIO()
    Image.fromarray(astronaut()).save(portrait, "PNG")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.set_default_timeout(300_000)
        page.goto(url)
        upload: FilePayload = {"name": "astronaut.png", "mimeType": "image/png", "buffer": portrait.getvalue()}
        page.locator("#chooser").set_input_files([upload])
        page.locator("#density svg").wait_for(state="visible")
        png = page.screenshot()
        browser.close()
    return png


def main() -> int:
    """Write the picture with few colours, which keeps it small."""
    with LiveServer(load, models_dir=default_models_dir()) as server:
        png = photograph(server.url + "/")
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(IMAGES / "page.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
