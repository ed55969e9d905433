"""The command `agelens predict`, through the command line as it is installed."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.soak import adversarial_jpeg
from service.cli.predict import percent, sparkline, table_of
from service.inference.distribution import AgeDistribution
from service.inference.faces import AgePrediction, BoundingBox, Face
from service.inference.lockfile import ModelLock
from tests.complete_folder import write_complete_folder
from tests.service.cli.command import agelens
from tests.service.doubles import grey
from tests.tiny_model import write_models_folder


def test_json_is_the_services_reply_without_a_request(reply: dict[str, Any]) -> None:
    assert reply.keys() == {"model", "image", "faces", "timings_ms"}
    assert reply["image"] == {"width": 512, "height": 512, "more_faces": False, "warnings": []}


def test_thresholds_are_answered(reply: dict[str, Any]) -> None:
    assert reply["faces"][0]["at_least"].keys() == {"18", "25"}


def test_table_has_a_row_for_the_face(folder: Path, photo: Path, reply: dict[str, Any]) -> None:
    result = agelens("predict", photo, "--models-dir", folder, "--thresholds", "18")
    assert f"{reply['faces'][0]['age']:.1f}" in result.stdout
    assert "≥ 18" in result.stdout


def test_no_face_is_an_answer(folder: Path) -> None:
    result = agelens("predict", "-", "--models-dir", folder, stdin=grey(128, 200))
    assert result.exit_code == 0
    assert "No face found" in result.stdout


def test_whole_picture_is_read_on_request(folder: Path) -> None:
    result = agelens("predict", "-", "--no-detect", "--models-dir", folder, "--json", stdin=grey(102, 200))
    assert json.loads(result.stdout)["faces"][0]["age"] == pytest.approx(40, abs=0.01)


def test_model_is_chosen_by_name(folder: Path) -> None:
    words = ("predict", "-", "--no-detect", "--model", "other", "--models-dir", folder)
    assert "other 1.0.0" in agelens(*words, stdin=grey()).stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("nowhere.jpg",), 3, "nowhere.jpg: cannot be read: No such file"),
        (("-",), 3, "-: "),
        (("*.nothing",), 2, "*.nothing: no picture found; file names must end in .avif, "),
        (("table.parquet",), 2, "table.parquet: tables and object stores are read by `agelens score`"),
        (("a.jpg", "b.jpg", "--annotate", "drawn.png"), 2, "--annotate takes one photograph; 2 were named"),
        (("-", "--annotate", "drawn.gif"), 2, ".jpg, .jpeg, .png, .webp"),
        (("-", "--thresholds", "18;25"), 2, "as 18,25"),
        (("-", "--thresholds", "300"), 2, "1 to 100"),
        (("-", "--model", "nobody"), 2, "no model named nobody; it has brightness, other"),
        (("-", "--models-dir", "nowhere"), 1, "AGELENS_MODELS_DIR"),
    ],
)
def test_errors_are_one_line_with_the_fix(folder: Path, words: tuple[str, ...], status: int, said: str) -> None:
    given = words if "--models-dir" in words else (*words, "--models-dir", str(folder))
    result = agelens("predict", *given, stdin=b"no picture")
    assert result.exit_code == status, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_files_folders_and_patterns_are_read_and_a_bad_one_fails_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "album" / "deep").mkdir(parents=True)
    pictures = {"a.jpg": b"no picture", "b.png": grey(51), "deep/c.PNG": grey(204), "d.gif": grey(51, fmt="GIF")}
    for name, data in (*pictures.items(), ("notes.txt", b"")):
        (tmp_path / "album" / name).write_bytes(data)
    (tmp_path / "one.png").write_bytes(grey(102))
    words = ("predict", tmp_path / "album", tmp_path / "o*.png", "--no-detect", "--models-dir", folder)
    result = agelens(*words, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["a.jpg", "b.png", "d.gif", "c.PNG", "one.png"]
    assert [round(lines[place]["faces"][0]["age"]) for place in (1, 3, 4)] == [20, 80, 40]
    assert "error" in lines[0]
    assert (result.exit_code, result.stderr.count("\n")) == (3, 2)
    assert f"{tmp_path / 'album' / 'a.jpg'}: " in result.stderr
    assert f"{tmp_path / 'album' / 'd.gif'}: GIF files are not read" in result.stderr
    assert agelens(*words).stdout.count("brightness 1.0.0") == 3


def test_a_photograph_that_would_take_its_decoder_too_long_fails_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dear.jpg").write_bytes(adversarial_jpeg.progressive_empty_scans(100))
    (tmp_path / "good.png").write_bytes(grey(51))
    result = agelens("predict", tmp_path, "--no-detect", "--models-dir", folder, "--json")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert re.search(r"dear.jpg: decoding the picture would take up to .*AGELENS_MAX_DECODE_S", result.stderr)
    assert round(json.loads(result.stdout.splitlines()[1])["faces"][0]["age"]) == 20


@pytest.mark.parametrize(("name", "value"), [("AGELENS_MAX_DECODE_S", "0.001"), ("AGELENS_MAX_DECODE_MB", "64")])
def test_settings_limit_what_decoding_may_take(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = agelens("predict", "-", "--no-detect", "--models-dir", folder, stdin=grey(51, 4000))
    assert (result.exit_code, name in result.stderr) == (3, True)


def test_only_the_model_that_answers_is_loaded(tmp_path: Path) -> None:
    folder = write_complete_folder(tmp_path)
    entry = ModelLock.read(folder).of_kind("model")[0]
    damaged = entry.model_copy(update={"file": "second.onnx", "sha256": "0" * 64})
    ModelLock(files=(*ModelLock.read(folder).files, damaged)).write(folder)
    result = agelens("predict", "-", "--no-detect", "--models-dir", folder, stdin=grey())
    assert result.exit_code == 0, result.output


def test_a_folder_without_a_detector_answers_for_faces_already_cut_out(tmp_path: Path) -> None:
    words = ("predict", "-", "--models-dir", write_models_folder(tmp_path))
    assert agelens(*words, "--no-detect", stdin=grey()).exit_code == 0
    refused = agelens(*words, stdin=grey())
    assert (refused.exit_code, "names no file of kind `detector`" in refused.stderr) == (1, True)


def test_scoring_several_inputs_says_to_quote_the_pattern(tmp_path: Path) -> None:
    result = agelens("score", "a.jpg", "b.jpg", "--output", tmp_path)
    assert (result.exit_code, "2 were named; put a pattern in quotes" in result.stderr) == (2, True)


def test_sparkline_stands_highest_at_the_age() -> None:
    line = sparkline(AgeDistribution.of(np.eye(101)[42]))
    assert line.index("█") == 42 // 5
    assert len(line) == 21


def test_a_box_just_outside_the_picture_is_at_zero_not_minus_zero() -> None:
    face = Face(BoundingBox(0.2, -0.3, 100, 100), 0.9, ())
    prediction = AgePrediction(face, AgeDistribution.of(np.eye(101)[42]), 42.0, 0.9, (40, 44), ())
    drawn = io.StringIO()
    Console(file=drawn, width=100).print(table_of((prediction,), (), 0.9))
    assert drawn.getvalue().split("\n")[3].split()[-2:] == ["0,", "0"]


@pytest.mark.parametrize(("p", "said"), [(1.0, ">99.9%"), (0.9994, "99.9%"), (0.5, "50.0%"), (0.0, "<0.1%")])
def test_certainty_is_never_claimed(p: float, said: str) -> None:
    assert percent(p) == said


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """One picture, and what cannot be read: a pipe, a link to nothing and one to a folder; and a hidden picture."""
    album = tmp_path / "album"
    album.mkdir()
    (album / "a.png").write_bytes(grey(51))
    (album / ".hidden.png").write_bytes(grey(51))
    os.mkfifo(album / "pipe.png")
    (album / "gone.png").symlink_to("nowhere")
    (album / "link").symlink_to(tmp_path)
    return album


def test_what_cannot_be_read_in_a_folder_is_named(folder: Path, album: Path) -> None:
    result = agelens("predict", album, "--no-detect", "--models-dir", folder)
    assert (result.exit_code, result.stdout.count("brightness 1.0.0")) == (3, 1)
    assert result.stderr.splitlines() == [
        f"agelens: {album}/gone.png: cannot be read: No such file or directory",
        f"agelens: {album}/link: cannot be read: a link to a folder, which is not followed",
        f"agelens: {album}/pipe.png: cannot be read: not a file; a pipe is read from standard input, as -",
    ]


def test_a_pattern_passes_folders_over_and_names_the_link_to_nothing(folder: Path, album: Path) -> None:
    (album / "sub.png").mkdir()
    result = agelens("predict", f"{album}/[ags]*.png", "--no-detect", "--models-dir", folder)
    assert result.stderr == f"agelens: {album}/gone.png: cannot be read: No such file or directory\n"


def test_a_pipe_is_refused_instead_of_waited_for(folder: Path, album: Path) -> None:
    result = agelens("predict", album / "pipe.png", "--models-dir", folder)
    assert (result.exit_code, "not a file; a pipe is read" in result.stderr) == (3, True)


def test_names_are_one_line_that_does_nothing_to_a_terminal(folder: Path, tmp_path: Path) -> None:
    for name in (b"\n\x1b[31m.png", b"\xff.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(grey(51))
        (tmp_path / os.fsdecode(b"bad" + name)).write_bytes(b"no picture")
    words = ("predict", tmp_path, "--no-detect", "--models-dir", folder)
    result = agelens(*words)
    for printed in (r"\n\x1b[31m.png", r"\xff.png"):
        assert f"{tmp_path}/{printed}  64 x 64" in result.stdout
        assert f"agelens: {tmp_path}/bad{printed}: " in result.stderr
    assert ("\x1b" in result.output, len(result.stderr.splitlines())) == (False, 2)
    files = [json.loads(line)["file"] for line in agelens(*words, "--json").stdout.splitlines()]
    assert rf"{tmp_path}/\xff.png" in files
    refused = agelens("predict", "\n\x1b*", "--models-dir", folder)
    assert r"agelens: \n\x1b*: no picture found" in refused.stderr


@pytest.mark.parametrize(("word", "said"), [("", "PHOTO is empty; name a file or folder"), ("x" * 300, "x: cannot be")])
def test_a_name_that_none_can_be_is_refused(folder: Path, word: str, said: str) -> None:
    result = agelens("predict", word, "--models-dir", folder)
    assert (result.exit_code, said in result.stderr) == (2, True)
