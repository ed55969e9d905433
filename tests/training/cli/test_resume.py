"""`agelens-train train --resume` goes on with the run as it began."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from training.cli.main import app


def test_options_that_would_change_a_run_are_refused_when_it_is_resumed(tmp_path: Path) -> None:
    options = ["--run", str(tmp_path), "--seed", "3", "--set", "size=32", "--beside", "other", "--max-minutes", "5"]
    done = CliRunner().invoke(app, ["train", "smoke", "--resume", *options])
    assert done.exit_code == 1
    assert "takes no --seed, --set, --beside" in done.output


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "smoke", "--resume", "--run", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "no run to resume" in done.output
