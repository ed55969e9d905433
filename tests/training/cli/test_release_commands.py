"""What `agelens-train calibrate`, `ensemble` and `set-default` say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from tests.tiny_model import SIZE
from tests.training.export.bell_model import grey_faces, write_bell_model, write_grey_store
from training.cli.main import app
from training.data.store import FaceStore
from training.onnx_manifest import manifest_of


@pytest.mark.parametrize(("count", "warned"), [(60, True), (400, False)])
def test_too_few_calibration_faces_are_said(tmp_path: Path, count: int, warned: bool) -> None:
    store = write_grey_store(tmp_path / "store", count)
    path = write_bell_model(tmp_path)
    words = ["calibrate", str(path), "--store", str(store), "--version", "1.2.3", "--balance", "0"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert manifest_of(onnx.load(path), "bell").version == "1.2.3"
    faces = len(FaceStore.open(store).select("calib"))
    said = f"fitted to {faces} `calib` faces, and a 95 % interval takes 19 or more" in done.stderr
    assert (faces > 0, said) == (True, warned)
    few = write_grey_store(tmp_path / "few", 12)
    done = CliRunner().invoke(app, ["calibrate", str(path), "--store", str(few)])
    assert ("keeps its calibration: 3 `calib` faces" in done.stderr, "fitted to" in done.stderr) == (True, False)


def test_faces_without_ages_are_refused_where_no_gate_is_fitted(tmp_path: Path) -> None:
    members = [str(write_bell_model(tmp_path, name)) for name in ("a", "b")]
    store = str(write_grey_store(tmp_path / "store", 60))
    done = CliRunner().invoke(
        app,
        ["ensemble", *members, "--store", store, "--version", "1.0.0", "--unlabelled", store, "--out", str(tmp_path)],
    )
    assert (done.exit_code, (tmp_path / "ensemble.onnx").exists()) == (1, False)
    assert "--unlabelled fits a gate, --without leaves heads out of what it mixes: add --gate" in done.stderr


def test_choosing_the_default_says_what_answers_then(tmp_path: Path) -> None:
    write_bell_model(tmp_path)
    done = CliRunner().invoke(app, ["set-default", "bell", "--out", str(tmp_path)])
    assert (done.exit_code, done.output) == (0, f"bell answers requests that name no model, from {tmp_path}\n")


def test_what_cannot_be_calibrated_is_named_in_one_line(tmp_path: Path) -> None:
    store = write_grey_store(tmp_path / "store", count=400)
    model = write_bell_model(tmp_path / "models", size=2 * SIZE)
    (tmp_path / "note.onnx").write_bytes(b"no model")
    for named, expected in (
        ([str(tmp_path / "note.onnx")], "note.onnx is no ONNX model"),
        ([str(tmp_path / "none.onnx")], "there is no file"),
        ([str(model)], f"prepare it with --size {2 * SIZE}"),
        ([str(model), "--balance", "0.5", "--unlabelled", str(tmp_path)], "give one of them"),
        ([str(model), "--balance", "0.5", "--version", "second"], "version: String should match pattern"),
    ):
        done = CliRunner().invoke(app, ["calibrate", *named, "--store", str(store)])
        assert done.exit_code == 1
        assert expected in " ".join(done.stderr.split())


@pytest.mark.parametrize("warned", [True, False])
def test_a_file_that_loses_its_intervals_to_an_archive_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned: bool
) -> None:
    store, model = write_grey_store(tmp_path / "store", count=4000), write_bell_model(tmp_path)  # aged 15 to 75
    seen = np.full(300, 20.0) if warned else np.linspace(16, 74, 300)
    monkeypatch.setattr("training.export.unlabelled.faces_in", lambda *_: grey_faces(seen))
    named = ["calibrate", str(model), "--store", str(store), "--unlabelled", str(tmp_path), "--version", "2.0.0"]
    done = CliRunner().invoke(app, named)
    assert done.exit_code == 0, done.output
    assert manifest_of(onnx.load(model), "bell").version == "2.0.0"
    assert ("no calibrated intervals" in " ".join(done.stderr.split())) == warned
    assert bool(manifest_of(onnx.load(model), "bell").intervals) != warned
