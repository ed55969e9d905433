"""The same scorer on Ray Data: the same rows as local processes write, and nothing lost when a node dies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import InvalidParameter
from service.scoring.job import Job
from service.scoring.ray import score_on_ray
from service.settings import Settings
from tests.service.doubles import grey
from tests.service.scoring.doubles import ROOT, middle_face
from tests.tiny_model import write_models_folder

PHOTOGRAPHS = 40


@pytest.fixture(scope="module")
def cluster_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Score on two raylets, one of which is killed in the middle, and locally; say what came out."""
    folder = tmp_path_factory.mktemp("ray")
    photos = folder / "photos"
    models = folder / "models"
    for made in (photos, models):
        made.mkdir()
    write_models_folder(models, "brightness", "other")
    for number in range(PHOTOGRAPHS):
        (photos / f"{number:02}.png").write_bytes(grey(number + 1) if number % 9 else b"damaged")
    command = [sys.executable, "-m", "tests.cluster.ray_cluster", photos, folder / "out", models]
    done = subprocess.run([str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_a_killed_node_loses_and_repeats_nothing(cluster_report: dict[str, object]) -> None:
    assert cluster_report["killed"] == 1
    assert cluster_report["ids"] == [f"{number:02}.png" for number in range(PHOTOGRAPHS)]


def test_ray_writes_the_same_rows_in_the_same_parts_as_processes(cluster_report: dict[str, object]) -> None:
    assert cluster_report["same_rows"]
    assert cluster_report["same_parts"]
    assert cluster_report["same_reports"]


def test_missing_ray_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidParameter, match="make extras EXTRAS=ray"):
        next(score_on_ray(Job(tmp_path, Settings(), middle_face), iter([]), 1))
