from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.server_process import ROOT, run_server
from tests.service.doubles import grey
from tests.service.native_server import SERVE_NATIVE
from tests.service.running import server_process


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_accepted_pictures_are_answered_after_the_signal_and_the_exit_is_0(
    models_dir: Path, fifo: Path, number: signal.Signals
) -> None:
    with (
        server_process(models_dir, gate=fifo) as server,
        ThreadPoolExecutor() as pool,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        asked = pool.submit(client.post, "/predict", files={"file": grey(51)})
        server.wait_for("at_gate")
        server.signal(number)
        server.wait_for("draining")
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").json()["detail"] == "the service is shutting down"
        refused = client.post("/predict", files={"file": grey()})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        fifo.write_bytes(b"")
        assert asked.result().json()["faces"][0]["age"] == pytest.approx(20, abs=1e-4)
        assert server.end() == 0


def test_body_that_still_comes_does_not_hold_the_drain_up(models_dir: Path) -> None:
    with server_process(models_dir, drain_grace_s=600, body_timeout_s=600) as server:
        with httpx.Client(base_url=server.url) as client, ThreadPoolExecutor() as pool:

            def endless() -> Iterator[bytes]:
                yield b"x"
                server.signal()
                server.wait_for("ended")

            asked = pool.submit(client.post, "/predict", content=endless(), headers={"content-type": "image/png"})
            assert asked.result().status_code == 503
        assert server.end() == 0


def test_second_signal_ends_it_at_once(models_dir: Path, fifo: Path) -> None:
    with server_process(models_dir, gate=fifo, drain_grace_s=600) as server, ThreadPoolExecutor() as pool:
        asked = pool.submit(httpx.post, f"{server.url}/predict", files={"file": grey()}, timeout=60)
        server.wait_for("at_gate")
        server.signal()
        server.wait_for("draining")
        server.signal()
        assert server.end() == 1
        assert asked.result().status_code == 503


def test_grace_is_not_exceeded(models_dir: Path, fifo: Path) -> None:
    with server_process(models_dir, gate=fifo, drain_grace_s=0) as server, ThreadPoolExecutor() as pool:
        asked = pool.submit(httpx.post, f"{server.url}/predict", files={"file": grey()}, timeout=60)
        server.wait_for("at_gate")
        server.signal()
        assert server.end() == 1
        assert asked.result().status_code == 503


@pytest.mark.parametrize("signals", [1, 2])
def test_work_in_native_code_that_is_cut_short_ends_in_status_1_and_not_in_an_abort(
    models_dir: Path, signals: int
) -> None:
    with (
        run_server((*SERVE_NATIVE, str(models_dir)), drain_grace_s=600 if signals == 2 else 0) as server,
        ThreadPoolExecutor() as pool,
    ):
        asked = pool.submit(httpx.post, f"{server.url}/predict", files={"file": grey()}, timeout=60)
        server.wait_for("at_gate")
        server.signal()
        if signals == 2:
            server.wait_for("draining")
            server.signal()
        assert server.wait_for("ended")["drained"] is False
        assert server.end() == 1
        assert asked.result().status_code == 503


def test_interrupt_drains_too(models_dir: Path) -> None:
    with server_process(models_dir) as server:
        server.signal(signal.SIGINT)
        assert server.end() == 0


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AGELENS_")}
    command = [sys.executable, "-m", "service.cli.main", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**clean, **variables}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AGELENS_THREADS": "no"}, "AGELENS_THREADS"),
        ({"AGELENS_MODELS_DIR": "/nonexistent"}, "name a folder that has one (in the service: AGELENS_MODELS_DIR)"),
        ({"AGELENS_MAX_DECODE_S": "0.001"}, "AGELENS_MAX_DECODE_S or AGELENS_MAX_DECODE_MB is too low: a grey JPEG"),
        ({"AGELENS_HOST": "192.0.2.1"}, "choose another with --host or --port"),
    ],
)
def test_refusal_to_start_is_one_line_that_says_the_remedy(variables: dict[str, str], said: str) -> None:
    ended = run("serve", "--port", "0", **variables)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("agelens: ")
    assert said in line
    assert "Traceback" not in ended.stdout
