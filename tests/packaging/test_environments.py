"""What must be true of the locked environments."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
LOCKS = ("serve", "dev", "training", "build", "clients", "docs", "openvino", "sbom")


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["serve", "dev"])
def test_the_serving_environment_has_no_training_framework(name: str) -> None:
    assert not {"tensorflow", "keras", "tf2onnx", "jax", "torch"} & set(_pins(name))


def test_serving_needs_neither_mediapipe_nor_what_it_drags_in() -> None:
    assert not {"mediapipe", "matplotlib", "opencv-contrib-python", "sounddevice", "absl-py"} & set(_pins("serve"))


@pytest.mark.parametrize("name", ["serve", "dev", "training"])
@pytest.mark.parametrize("machine", [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")])
def test_the_locks_are_for_these_machines(name: str, machine: tuple[str, str]) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    (marker,) = re.findall(r"^numpy==\S+ ; (.*?) \\$", text, flags=re.MULTILINE)
    here = {"python_full_version": "3.12.1", "platform_python_implementation": "CPython"}
    assert Marker(marker).evaluate(here | dict(zip(("sys_platform", "platform_machine"), machine, strict=True)))
    assert not Marker(marker).evaluate(here | {"sys_platform": "win32", "platform_machine": "AMD64"})


def test_what_installs_lies_in_an_environment_of_its_own() -> None:
    command = ["make", "--dry-run", "--always-make", "setup"]
    steps = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    filled = [step for step in steps if "install" in step and "--python .venv/bin/python" in step]
    assert any("serve.txt" in step for step in filled)
    assert not any("build.txt" in step for step in filled)
    assert any(step.endswith("-m venv --without-pip .venv") for step in steps)


@pytest.mark.parametrize(("words", "where"), [((), "::1 --port 9"), (("PORT=7",), "::1 --port 7")])
def test_make_serve_listens_where_the_settings_say(words: tuple[str, ...], where: str) -> None:
    settings = {**os.environ, "AGELENS_HOST": "::1", "AGELENS_PORT": "9"}
    command = ["make", "--dry-run", "serve", *words]
    steps = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=settings).stdout
    assert f"agelens serve --host {where}\n" in steps


def test_serving_needs_no_onnx_package() -> None:
    assert "onnx" not in _pins("serve")


@pytest.mark.parametrize("name", ["serve", "dev"])
def test_both_environments_hold_the_same_versions(name: str) -> None:
    training = _pins("training")
    assert {package: version for package, version in _pins(name).items() if training.get(package) != version} == {}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    requirements = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    assert not re.search(r"://|--index-url|--find-links|(^|\s)/", text)
