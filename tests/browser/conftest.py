"""The page in real headless Chromium, served by `agelens serve` with the real detector."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from service.inference.lockfile import ModelLock, default_models_dir
from tests.complete_folder import write_astronaut, write_complete_folder
from tests.server_process import run_server

CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models; while fewer than two are loaded by default, two tiny ones, to switch between."""
    shipped = default_models_dir()
    if sum(entry.default for entry in ModelLock.read(shipped).of_kind("model")) >= 2:
        return shipped
    folder = write_complete_folder(tmp_path_factory.mktemp("models"), "brightness", "other")
    lock = ModelLock.read(folder)
    ModelLock(files=tuple(each.model_copy(update={"default": True}) for each in lock.files)).write(folder)
    return folder


@pytest.fixture(scope="session")
def service_url(models: Path) -> Iterator[str]:
    with run_server(models_dir=models) as server:
        yield server.url + "/"
        server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "Debian's chromium is not installed: `make test-browser` as root installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, service_url: str) -> Iterator[OpenPage]:
    """Open the page; whatever a test does, no request leaves the host and no script or policy complains."""
    with ExitStack() as stack:
        hosts: set[str] = set()
        complaints: list[str] = []

        def listen(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith("Failed to load resource"):
                complaints.append(message.text)

        def make(width: int = 1280, height: int = 900, scheme: str = "light", **options: object) -> Page:
            context = chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                **options,  # type: ignore[arg-type]  # names of Playwright's own options
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
            page.on("console", listen)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(service_url)
            return page

        yield make
        assert hosts <= {urlsplit(service_url).netloc, ""}, "a request went to another host"
        assert complaints == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one face, two faces, a small face, no face, a rotated one, a damaged picture and a text."""
    folder = tmp_path_factory.mktemp("photos")
    person = Image.open(write_astronaut(folder / "person.jpg"))
    pair = Image.new("RGB", (1024, 512))
    pair.paste(person, (0, 0))
    pair.paste(person, (512, 0))
    pair.save(folder / "pair.jpg")
    person.resize((220, 220)).save(folder / "small.jpg")
    Image.new("RGB", (320, 240), "grey").save(folder / "nobody.png")
    lying = Image.Exif()
    lying[0x0112] = 6  # the camera was turned: show it 90 degrees clockwise
    person.transpose(Image.Transpose.ROTATE_90).crop((0, 0, 512, 400)).save(folder / "turned.jpg", exif=lying)
    (folder / "damaged.jpg").write_bytes((folder / "person.jpg").read_bytes()[:9000])
    (folder / "notes.txt").write_text("not a picture")
    return folder
