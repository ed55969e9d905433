"""What TensorFlow's libraries print by themselves, and what becomes of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from training.cli.native_notes import native_notes_held


def test_training_prints_no_notes_of_native_libraries(store_path: Path, tmp_path: Path) -> None:
    command = ["-m", "training.cli.main", "train", "smoke", "--store", store_path, "--run", tmp_path / "run"]
    small = ["--set", "size=32", "--epochs", "1", "--max-minutes", "0.05"]
    done = subprocess.run([sys.executable, *map(str, command), *small], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "val_mae" in done.stdout
    assert "epoch 1" in done.stderr
    assert not re.findall(r"(?m)^(?:[EIW]\d{4} .*|WARNING: All log.*|.*rebuild TensorFlow.*)$", done.stderr)


def test_optimizing_a_graph_as_export_does_prints_no_notes() -> None:
    program = (
        "from training.cli.native_notes import import_tensorflow; import_tensorflow(); "
        "from tensorflow.python.grappler.cluster import Cluster; Cluster()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert not re.findall(r"(?m)^I\d{4} .*$", done.stderr)


def test_notes_are_shown_where_the_import_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"a library is missing\n")
        raise ImportError

    with pytest.raises(ImportError), native_notes_held():
        fail()
    assert capfd.readouterr().err == "a library is missing\n"


def test_notes_are_held_back_and_later_ones_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    with native_notes_held():
        os.write(2, b"no accelerator\n")
    os.write(2, b"an error\n")
    assert capfd.readouterr().err == "an error\n"
