from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from benchmarks.caller import post_request
from service.errors import FileMissing
from service.runtime.state import Loaded, ServiceState
from service.settings import Settings
from tests.service.conftest import MakeServer
from tests.service.doubles import Gate, grey, load_double

pytestmark = pytest.mark.anyio


async def test_runtime_is_not_ready_while_models_load_and_ready_afterwards(models_dir: Path) -> None:
    loading, load = threading.Event(), load_double(models_dir)

    def slow(settings: Settings) -> Loaded:
        assert loading.wait(60)
        return load(settings)

    state = ServiceState(Settings(threads=1), slow)
    starting = asyncio.create_task(state.start())
    assert state.complaint() == "the models are being loaded"
    loading.set()
    await starting
    assert state.complaint() is None
    assert state.started
    state.pool.stop(30)


async def test_models_that_cannot_be_loaded_are_kept_as_the_failure() -> None:
    def broken(_: Settings) -> Loaded:
        raise FileMissing("x.onnx is missing")

    state = ServiceState(Settings(threads=1), broken)
    await state.start()
    assert isinstance(state.failure, FileMissing)
    assert state.complaint() == "the models could not be loaded"


async def test_drain_that_comes_while_loading_lets_nothing_in(models_dir: Path) -> None:
    state = ServiceState(Settings(threads=1), load_double(models_dir))
    state.drain()
    await state.start()
    with pytest.raises(Exception, match="shutting down"):
        state.pool.probe()
    state.pool.stop(30)


def test_probes_say_ok(client: httpx.Client) -> None:
    for probe in ("live", "ready", "startup"):
        assert client.get(f"/health/{probe}").json() == {"status": "ok"}


def test_ready_is_503_while_draining_but_live_is_not(make_server: MakeServer) -> None:
    server = make_server()
    with server.client() as client:
        server.state.drain()
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/startup").status_code == 200
        assert client.post("/predict", files={"file": grey()}).json()["type"] == "urn:agelens:problem:not-ready"


def test_ready_is_503_when_a_worker_cannot_answer(make_server: MakeServer, gate: Gate) -> None:
    server = make_server(gated=True, stuck_after_s=0.001)
    with server.connect(post_request("/predict", grey(), "image/png")), server.client() as client:
        gate.wait_for()
        reply = client.get("/health/ready")
        assert reply.status_code == 503
        assert "agelens-0 has been busy" in reply.json()["detail"]
        assert client.get("/health/live").status_code == 200


def test_models_are_listed_with_what_their_files_say(client: httpx.Client) -> None:
    (model,) = client.get("/models").json()["models"]
    assert (model["name"], model["version"], model["default"], len(model["sha256"])) == (
        "brightness",
        "1.0.0",
        True,
        64,
    )
    assert client.get("/models/brightness").json() == model
    assert "intervals" not in model
