"""A training process that is killed outright, and resumed by another."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training.fit.checkpoint import Checkpoint

TRAIN = """
import os, signal, sys
from pathlib import Path
from tests.training.tiny_run import tiny_recipe
from training.data.store import FaceStore
from training.tracking.trackers import Tracker
from training.fit.train import train

class Killer(Tracker):
    def scalars(self, step, values):
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

store, run, kill_at, resume = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "resume"
result = train(tiny_recipe(epochs=4), [FaceStore.open(Path(store))], Path(run), resume, tracker=Killer())
print(result.steps, result.val_mae)
"""


def trained(store: Path, run: Path, kill_at: int, how: str = "new") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TRAIN, str(store), str(run), str(kill_at), how]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def figures(process: subprocess.CompletedProcess[str]) -> tuple[int, float]:
    assert process.returncode == 0, process.stderr
    steps, val_mae = process.stdout.split()[-2:]
    return int(steps), float(val_mae)


def test_a_killed_run_resumes_to_the_error_of_an_undisturbed_one(store_path: Path, tmp_path: Path) -> None:
    undisturbed = figures(trained(store_path, tmp_path / "whole", kill_at=-1))
    killed = trained(store_path, tmp_path / "killed", kill_at=22)
    assert killed.returncode == -signal.SIGKILL
    assert Checkpoint.load(tmp_path / "killed").progress.total_steps == 20
    resumed = figures(trained(store_path, tmp_path / "killed", kill_at=-1, how="resume"))
    assert resumed[0] == undisturbed[0] == 32
    assert resumed[1] == pytest.approx(undisturbed[1], abs=0.05)
