"""The smoke recipe as its own commands run it: both families, from drawn faces into a running service."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.inference.lockfile import ModelLock, default_models_dir
from tests.complete_folder import detector_entries
from tests.pictures import astronaut, jpeg
from tests.server_process import ServerProcess, run_server
from training.cli.main import app

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
