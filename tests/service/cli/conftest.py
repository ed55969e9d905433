"""A models folder, a photograph with one face, and what is answered of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.complete_folder import write_astronaut, write_complete_folder
from tests.service.cli.command import agelens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_complete_folder(tmp_path_factory.mktemp("complete"), "brightness", "other")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_astronaut(tmp_path_factory.mktemp("photo") / "astronaut.jpg")


@pytest.fixture(scope="module")
def reply(folder: Path, photo: Path) -> dict[str, Any]:
    result = agelens("predict", photo, "--models-dir", folder, "--json", "--thresholds", "18,25")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed
