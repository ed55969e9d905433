"""`agelens-train train` says what training was worth."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tests.training import tiny_run
from training.cli.main import app


def test_a_run_that_could_not_begin_is_none(store_path: Path, tmp_path: Path) -> None:
    words = ["train", "smoke", "--store", str(store_path), "--size", str(tiny_run.SIZE), "--epochs", "1"]
    words += ["--backbone", "two_convolutions", "--run", str(tmp_path / "run")]
    (tmp_path / "other.onnx").write_text("not a model")
    for name, told in (("nowhere", f"there is no file {tmp_path / 'nowhere.onnx'}"), ("other", "is no ONNX model")):
        failed = CliRunner().invoke(app, [*words, "--weights", str(tmp_path / f"{name}.onnx")])
        assert (failed.exit_code, told in failed.output) == (1, True)
    assert CliRunner().invoke(app, words).exit_code == 0
    assert "holds a run already" in CliRunner().invoke(app, words).output


def test_training_without_faces_asks_for_a_store(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["train", "smoke", "--run", str(tmp_path / "run")])
    assert (said.exit_code, "with --store" in said.output) == (1, True)
    assert not (tmp_path / "run").exists()


def test_help_shows_the_way_from_faces_to_a_model_first() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    first = said.partition("Commands")[2].partition("More commands")[0]
    named = [line.split()[1] for line in first.splitlines() if line.startswith("│")]
    assert named == ["datasets", "prepare", "train", "export", "evaluate", "card", "set-default"]


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


def test_a_wrong_command_line_is_one_line_that_says_where_to_look() -> None:
    result = CliRunner().invoke(app, ["train"])
    said = "agelens-train: missing argument 'recipe'; see `agelens-train train --help`\n"
    assert (result.exit_code, result.stderr) == (2, said)
