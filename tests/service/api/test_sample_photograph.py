"""The page's sample photograph: served where set-up obtained it, and nothing in its place where it did not."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette

from service.api.static_files import sample_routes
from service.inference.lockfile import LockEntry, ModelLock
from tests.complete_folder import write_astronaut


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = write_astronaut(tmp_path / "astronaut.png").read_bytes()
    entry = LockEntry(
        file="astronaut.png",
        kind="sample",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        source="scikit-image",
    )
    ModelLock(files=(entry,)).write(tmp_path)
    return tmp_path


def get(folder: Path, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=sample_routes(folder)))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_photograph_is_served_as_it_was_obtained(folder: Path) -> None:
    reply = get(folder, "/sample/astronaut.png")
    assert reply.content == (folder / "astronaut.png").read_bytes()
    assert reply.headers["content-type"] == "image/png"


def test_thumbnail_is_small(folder: Path) -> None:
    reply = get(folder, "/sample/thumbnail.jpg")
    assert Image.open(io.BytesIO(reply.content)).size == (144, 144)
    assert len(reply.content) < 10_000


def test_without_the_file_there_is_no_sample(folder: Path) -> None:
    (folder / "astronaut.png").unlink()
    assert get(folder, "/sample/thumbnail.jpg").status_code == 404


def test_altered_file_is_not_served(folder: Path) -> None:
    photo = folder / "astronaut.png"
    photo.write_bytes(photo.read_bytes()[::-1])
    assert get(folder, "/sample/astronaut.png").status_code == 404


def test_folder_without_a_lock_has_no_sample(tmp_path: Path) -> None:
    assert sample_routes(tmp_path) == []
