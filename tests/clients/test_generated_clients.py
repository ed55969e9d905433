"""Clients that generators make of the served OpenAPI document, with the commands and the code of the guide."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.complete_folder import write_astronaut
from tests.docs.reading import ROOT, Block, blocks
from tests.server_process import ServerProcess, run_server

BIN = Path(sys.executable).parent


def run(*command: str | Path, folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def service() -> Iterator[ServerProcess]:
    """The whole service with the shipped models."""
    with run_server() as running:
        yield running
        running.stop()


@pytest.fixture(scope="session")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generators, and what the clients that they make import, as locked."""
    folder = tmp_path_factory.mktemp("generators")
    locked = ("--require-hashes", "--no-deps", "--requirement", "requirements/clients.txt")
    run(BIN / "uv", "pip", "install", "--python", sys.executable, "--target", folder, *locked, folder=ROOT)
    return folder


def pairs() -> list[tuple[Block, Block]]:
    """Return each command that generates a client with the code that follows it."""
    found = blocks("client", "docs/api.md")
    return list(zip(found[::2], found[1::2], strict=True))


def test_both_generators_are_in_the_guide() -> None:
    assert [command.text.split()[0] for command, _ in pairs()] == ["openapi-generator-cli", "openapi-python-client"]


@pytest.mark.parametrize(("command", "code"), pairs(), ids=str)
def test_a_generated_client_posts_a_photograph_and_reads_ages(
    command: Block, code: Block, service: ServerProcess, generators: Path, tmp_path: Path
) -> None:
    photo = write_astronaut(tmp_path / "photo.jpg").read_bytes()
    path = os.pathsep.join((str(generators / "bin"), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(generators)}
    run("bash", "-euc", command.at(service.address), folder=tmp_path, environment=environment)
    # -S: only what is locked for clients can be imported, and nothing of this environment.
    said = run(sys.executable, "-S", "-c", code.at(service.address), folder=tmp_path, environment=environment)

    asked = httpx.post(f"{service.url}/v1/predict?thresholds=18", files={"file": photo}, timeout=60)
    (face,) = asked.json()["faces"]
    assert said == f"{face['age']} {face['at_least']['18']}\n"
