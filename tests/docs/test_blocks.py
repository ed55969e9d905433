"""Every block of commands and code in the documents is run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.inference.lockfile import ModelLock, default_models_dir
from service.settings import Settings
from tests.complete_folder import write_astronaut, write_complete_folder
from tests.docs.reading import ROOT, Block, blocks
from tests.server_process import run_server

MARKS = {"serve", "served", "python", "browser", "client", "training", "named"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models; a checkout that has none yet gets a tiny one."""
    folder = default_models_dir()
    if any(entry.default for entry in ModelLock.read(folder).of_kind("model")):
        return folder
    return write_complete_folder(tmp_path_factory.mktemp("models"), "brightness")


@pytest.fixture(scope="session")
def address(models: Path) -> Iterator[str]:
    with run_server(models_dir=models) as server:
        yield server.address
        server.stop()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    person = Image.open(write_astronaut(folder / "photo.jpg"))
    pair = Image.new("RGB", (1024, 512))
    pair.paste(person, (0, 0))
    pair.paste(person, (512, 0))
    pair.save(folder / "group.jpg")
    person.crop((164, 62, 286, 184)).save(folder / "face.jpg")
    for environment in (".venv", ".venv-training"):
        (folder / environment).symlink_to(sys.prefix)
    write_evaluation(folder / "runs" / "evaluation" / "NAME.npz")
    return folder


def write_evaluation(path: Path) -> None:
    """Write what `agelens-train evaluate` keeps of people of each age, each of whom is sure to be that old."""
    path.parent.mkdir(parents=True)
    np.savez(path, pmf=np.eye(101), low=np.arange(101), high=np.arange(101))


def environment(models: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AGELENS_", "MAKE", "MFLAGS"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    return {**clean, "PATH": path, "PYTHONPATH": str(ROOT), "AGELENS_MODELS_DIR": str(models), "KEY": "k", **more}


def test_every_block_says_how_it_is_run() -> None:
    assert [str(block) for block in blocks() if block.mark not in MARKS] == []
    assert {block.mark for block in blocks()} == MARKS


@pytest.mark.parametrize("block", blocks("served"), ids=str)
def test_command_beside_a_running_service(block: Block, address: str, pictures: Path, models: Path) -> None:
    text = block.at(address)
    (pictures / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    given = environment(models, CURL_HOME=str(pictures))
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(command, cwd=pictures, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout or done.stderr
    if "/predict" in text and "ndjson" not in text:
        assert '"age":' in done.stdout


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_beside_a_running_service(block: Block, address: str, pictures: Path, models: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block.at(address)],
        cwd=pictures,
        env=environment(models),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d|Provider", done.stdout)


def test_the_gate_in_the_guide_allows_refuses_and_asks() -> None:
    (block,) = [block for block in blocks("python", "docs/gates.md") if "def decide" in block.text]
    decide = block.text.split("\nwith Client")[0]
    faces = """
from types import SimpleNamespace
def face(probability, *warnings):
    return SimpleNamespace(at_least={"18": probability}, warnings=list(warnings))
for faces in [[face(0.95)], [face(0.94)], [face(0.05)], [face(0.04)], [face(0.99, "blurred")], [], [face(1.0)] * 2]:
    print(decide(faces)[0])
"""
    done = subprocess.run([sys.executable, "-c", decide + faces], cwd=ROOT, capture_output=True, text=True, check=True)
    ask = "ask a human"
    assert done.stdout.splitlines() == ["allow", ask, ask, "refuse", ask, ask, ask]


@pytest.mark.parametrize("block", blocks("serve"), ids=str)
def test_command_that_serves(block: Block, models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    process = subprocess.Popen(
        ["bash", "-c", block.text],
        cwd=ROOT,
        env=environment(models, PORT=port),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert any('"event": "ready"' in line for line in process.stdout)
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


@pytest.mark.parametrize("block", blocks("named"), ids=str)
def test_what_a_command_names_exists(block: Block) -> None:
    for path in re.findall(r"docker/[\w./-]+", block.text):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"^make ([\w-]+)", block.text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    for program in re.findall(r"^(agelens(?:-train)?) ([\w-]+)", block.text, re.MULTILINE):
        assert shutil.which(program[0], path=str(Path(sys.executable).parent)), program


def test_the_gateway_lets_pass_what_the_service_takes() -> None:
    nginx = (ROOT / "docs" / "deploying.md").read_text().split("```nginx\n")[1].split("```")[0]
    said = {name: int(number) for name, number in re.findall(r"(client_max_body_size|read_timeout) (\d+)", nginx)}
    settings = Settings(threads=1)
    assert said["client_max_body_size"] * 2**20 == settings.max_batch_bytes
    assert said["read_timeout"] > settings.batch_deadline_s
