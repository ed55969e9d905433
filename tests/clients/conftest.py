"""HTTP clients of other languages, Debian's packages, against the whole server with a detector's double."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.doubles import grey, load_double
from tests.service.running import LiveServer
from tests.tiny_model import write_models_folder

TOOLS = ("curl", "java", "node")


def pytest_sessionstart() -> None:
    """Fail where a client is missing: `make test-clients` installs them."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise pytest.UsageError(
            f"not installed: {', '.join(missing)}; run `make test-clients` as root, or install them"
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    models = write_models_folder(tmp_path_factory.mktemp("models"), "brightness")
    with LiveServer(load_double(models), max_body_bytes=2**20) as server:
        yield server


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture whose one face is 20 years old; noise behind it makes it 200 kB, more than one segment."""
    path = tmp_path / "picture.png"
    path.write_bytes(grey(51) + bytes(200_000))
    return path
