"""The smoke recipe as its own commands run it: from drawn faces into a running service, and on other backends."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from service.inference.lockfile import ModelLock, default_models_dir
from service.inference.pipeline import load_models
from tests.complete_folder import detector_entries
from tests.pictures import astronaut, jpeg
from tests.server_process import ServerProcess, run_server
from training.cli.main import app
from training.data.store import FaceStore

FAMILIES = {
    "coral": ["--backbone", "mobilenet", "--head", "coral"],
    "mean-variance": ["--backbone", "resnet29", "--head", "mean_variance", "--epochs", "2"],
}


def commanded(command: str, *more: object) -> None:
    done = CliRunner().invoke(app, [*command.split(), *map(str, more)])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces, a run of each family, and a models folder with both and the detector."""
    folder = tmp_path_factory.mktemp("smoke")
    commanded("synthetic", folder / "faces")
    (folder / "models").mkdir()
    detectors = detector_entries()
    for entry in detectors:
        shutil.copy(default_models_dir() / entry.file, folder / "models")
    ModelLock(files=tuple(detectors)).write(folder / "models")
    for name, family in FAMILIES.items():
        run, store = folder / "runs" / name, ("--store", folder / "faces")
        commanded("train smoke", *store, "--run", run, *family)
        commanded("export", run, *store, "--name", name, "--version", "0.1.0", "--out", folder / "models", "--default")
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ServerProcess]:
    with run_server(models_dir=folder / "models") as server:
        yield server
        server.stop()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_smoke_recipe_learns_the_drawn_ages(folder: Path, name: str) -> None:
    with (folder / "runs" / name / "metrics.csv").open(newline="") as stream:
        maes = [float(row["value"]) for row in csv.DictReader(stream) if row["name"] == "val_mae"]
    assert min(maes) < 12 < maes[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_running_service_answers_with_the_family(service: ServerProcess, name: str) -> None:
    reply = httpx.post(f"{service.url}/predict", params={"model": name}, files={"file": jpeg(astronaut())}, timeout=60)
    assert reply.status_code == 200, reply.text
    assert reply.json()["model"] == {"name": name, "version": "0.1.0"}
    assert 0 <= reply.json()["faces"][0]["age"] <= 100


def test_the_service_says_which_families_it_loaded(service: ServerProcess) -> None:
    loaded = httpx.get(f"{service.url}/models").json()["models"]
    assert {model["family"] for model in loaded} == set(FAMILIES)


BRIEF = ["--epochs", "3", "--set", "stages.warmup_steps=2", "--set", "ema_decay=0"]


def assert_served(models: Path, name: str, store: Path) -> None:
    """The service loads the file by its lock, and it tells drawn faces apart."""
    estimator = load_models(models, [name])[name]
    faces = FaceStore.open(store).select("val")
    pixels = faces.faces(np.arange(8), estimator.manifest.crop.size)
    ages = estimator.estimate(pixels) @ np.arange(101)
    assert np.std(ages) > 0.1


@pytest.mark.parametrize("backbone", ["resnet34", "resnet50", "inception_v3"])
def test_a_large_backbone_goes_from_its_first_step_to_a_file_that_the_service_loads(
    tmp_path: Path, backbone: str
) -> None:
    commanded("synthetic", tmp_path / "faces", "--count", 160, "--size", 80)
    store, name = ("--store", tmp_path / "faces"), backbone.replace("_", "-")
    family = ["--backbone", backbone, "--head", "mean_variance", "--size", 80, "--set", "batch_size=16"]
    commanded("train smoke", *store, "--run", tmp_path / "run", *family, *BRIEF)
    commanded("export", tmp_path / "run", *store, "--name", name, "--version", "0.1.0", "--out", tmp_path / "models")
    assert_served(tmp_path / "models", name, tmp_path / "faces")


@pytest.mark.parametrize("backend", [name for name in ("jax", "torch") if find_spec(name)])
def test_a_run_that_was_trained_on_another_backend_is_exported(tmp_path: Path, folder: Path, backend: str) -> None:
    store = ("--store", folder / "faces")
    command = [sys.executable, "-m", "training.cli.main", "train", "smoke", *store, "--run", tmp_path / "run", *BRIEF]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    commanded("export", tmp_path / "run", *store, "--name", backend, "--version", "0.1.0", "--out", tmp_path / "models")
    assert_served(tmp_path / "models", backend, folder / "faces")
