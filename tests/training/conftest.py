"""Drawn faces for the tests that train."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.data.synthetic import synthetic_store


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of a hundred drawn faces of 32 px, 70 of them in `train`."""
    return synthetic_store(tmp_path_factory.mktemp("stores") / "synthetic", 100, size=32, bleed=6)


@pytest.fixture(scope="module", autouse=True)
def networks_freed() -> Iterator[None]:
    """Free a module's networks, which Keras holds on to: without it all modules together took 15 GB."""
    yield
    if keras := sys.modules.get("keras"):
        keras.backend.clear_session()
    gc.collect()
