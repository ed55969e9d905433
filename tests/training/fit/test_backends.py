"""Every backend trains alike: TensorFlow, JAX and JAX on two devices, each in a process of its own.

torch is compared too where it is installed: .venv-training/bin/uv pip install --python .venv-training/bin/python torch
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny_run import tiny_recipe
from training.data.store import FaceStore
from training.fit.train import train

OTHERS = [backend for backend in ("tensorflow", "torch") if find_spec(backend)]


@pytest.fixture(scope="module")
def start(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, from whose weights all others go on, the head's too."""
    folder = tmp_path_factory.mktemp("start")
    train(tiny_recipe(epochs=1), [FaceStore.open(store_path)], folder)
    return folder


def losses(backend: str, store: Path, start: Path, devices: int = 1) -> list[float]:
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-m", "tests.training.fit.twenty_steps", str(store), str(start)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["backend"], told["devices"]) == (backend, devices)
    return list(told["losses"])


@pytest.fixture(scope="module")
def on_jax(store_path: Path, start: Path) -> list[float]:
    return losses("jax", store_path, start)


@pytest.mark.parametrize("backend", OTHERS)
def test_the_losses_of_twenty_steps_are_those_on_jax(
    store_path: Path, start: Path, on_jax: list[float], backend: str
) -> None:
    assert len(on_jax) == 20
    assert np.ptp(on_jax) > 0.1 * np.mean(on_jax)
    assert losses(backend, store_path, start) == pytest.approx(on_jax, rel=0.01)


def test_two_simulated_devices_give_the_loss_of_one(store_path: Path, start: Path, on_jax: list[float]) -> None:
    assert losses("jax", store_path, start, devices=2) == pytest.approx(on_jax, rel=1e-3)
