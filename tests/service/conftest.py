from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.doubles import Gate, load_double
from tests.service.running import LiveServer
from tests.tiny_model import write_models_folder

MakeClient = Callable[..., httpx.Client]
MakeServer = Callable[..., LiveServer]


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models_folder(tmp_path_factory.mktemp("models"), "brightness", "other")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def make_server(models_dir: Path, gate: Gate) -> Iterator[MakeServer]:
    """Make servers that listen; with `gated`, each picture waits at the gate before its face is looked for."""
    with ExitStack() as stack:

        def make(*, gated: bool = False, **settings: Any) -> LiveServer:
            load = load_double(models_dir, gate.pass_through) if gated else load_double(models_dir)
            server = stack.enter_context(LiveServer(load, **settings))
            stack.callback(gate.open)
            return server

        yield make


@pytest.fixture
def make_client(make_server: MakeServer) -> Iterator[MakeClient]:
    """Make clients of servers with these settings."""
    with ExitStack() as stack:

        def make(**settings: Any) -> httpx.Client:
            return stack.enter_context(make_server(**settings).client())

        yield make


@pytest.fixture(scope="session")
def client(models_dir: Path) -> Iterator[httpx.Client]:
    """A client of one server with default settings that these tests share."""
    with LiveServer(load_double(models_dir)) as server, server.client() as client:
        yield client
