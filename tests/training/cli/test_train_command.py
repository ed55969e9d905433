"""`agelens-train train` says what training was worth."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tests.training import tiny_run
from training.cli.main import app


def test_the_last_line_says_the_error_after_training_and_before(store_path: Path, tmp_path: Path) -> None:
    options = ["--store", str(store_path), "--size", str(tiny_run.SIZE), "--epochs", "1"]
    options += ["--backbone", "two_convolutions"]
    first = CliRunner().invoke(app, ["train", "smoke", *options, "--run", str(tmp_path / "first")])
    assert first.exit_code == 0, first.output
    assert "before training" not in first.output
    again = [*options, "--weights", str(tmp_path / "first")]
    second = CliRunner().invoke(app, ["train", "smoke", *again, "--run", str(tmp_path / "second")])
    before = first.output.split("val_mae ")[-1].split(" years")[0]
    assert f"before training  val_mae {before}" in second.output
    assert f"({before} before training); weights in {tmp_path / 'second'}" in second.stdout.replace("\n", " ")
