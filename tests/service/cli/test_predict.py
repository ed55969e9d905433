"""The commands `agelens predict` and `agelens models`, through the command line as it is installed."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from benchmarks.soak import adversarial_jpeg
from service.cli.main import app
from service.cli.output import OutputLost, checked_stdout
from service.cli.photos import read_photo
from service.cli.predict import percent, sparkline, table_of
from service.errors import CorruptPicture
from service.inference.distribution import AgeDistribution
from service.inference.faces import AgePrediction, BoundingBox, Face
from service.inference.lockfile import ModelLock
from service.inference.options import PredictOptions
from service.scoring.folder import Entry
from tests.complete_folder import write_astronaut, write_complete_folder
from tests.server_process import ROOT
from tests.service.doubles import grey
from tests.tiny_model import brightness_manifest, lock_entry, write_brightness_model, write_models_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_complete_folder(tmp_path_factory.mktemp("complete"), "brightness", "other")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_astronaut(tmp_path_factory.mktemp("photo") / "astronaut.jpg")


def agelens(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(word) for word in words], input=stdin)


@pytest.fixture(scope="module")
def reply(folder: Path, photo: Path) -> dict[str, Any]:
    result = agelens("predict", photo, "--models-dir", folder, "--json", "--thresholds", "18,25")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_json_is_the_services_reply_without_a_request(reply: dict[str, Any]) -> None:
    assert reply.keys() == {"model", "image", "faces", "timings_ms"}
    assert reply["image"] == {"width": 512, "height": 512, "more_faces": False, "warnings": []}


def test_thresholds_are_answered(reply: dict[str, Any]) -> None:
    assert reply["faces"][0]["at_least"].keys() == {"18", "25"}


def test_table_has_a_row_for_the_face(folder: Path, photo: Path, reply: dict[str, Any]) -> None:
    result = agelens("predict", photo, "--models-dir", folder, "--thresholds", "18")
    assert f"{reply['faces'][0]['age']:.1f}" in result.stdout
    assert "≥ 18" in result.stdout


def test_annotate_draws_at_the_face(folder: Path, photo: Path, tmp_path: Path, reply: dict[str, Any]) -> None:
    drawn = tmp_path / "drawn.png"
    assert agelens("predict", photo, "--models-dir", folder, "--annotate", drawn).exit_code == 0
    changed = np.abs(np.asarray(Image.open(drawn), int) - np.asarray(Image.open(photo), int)).sum(axis=2) > 0
    box = reply["faces"][0]["box"]
    rows, columns = np.nonzero(changed)
    assert columns.min() == pytest.approx(box["x"], abs=4)
    assert columns.max() == pytest.approx(box["x"] + box["width"], abs=4)
    assert rows.max() == pytest.approx(box["y"] + box["height"], abs=4)
    assert changed.mean() < 0.1


def test_annotate_keeps_who_may_read_the_file_it_replaces(folder: Path, photo: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    drawn.write_bytes(b"")
    drawn.chmod(0o640)
    assert agelens("predict", photo, "--models-dir", folder, "--annotate", drawn).exit_code == 0
    assert drawn.stat().st_mode & 0o777 == 0o640


def test_a_photo_that_is_decoded_smaller_is_drawn_as_it_is_decoded(
    folder: Path, photo: Path, tmp_path: Path, reply: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, drawn = tmp_path / "large.jpg", tmp_path / "drawn.png"
    Image.open(photo).resize((1024, 1024)).save(large, quality=95)
    monkeypatch.setenv("AGELENS_MAX_PIXELS", str(512 * 512))
    assert agelens("predict", large, "--models-dir", folder, "--annotate", drawn).exit_code == 0
    changed = np.abs(np.asarray(Image.open(drawn), int) - np.asarray(Image.open(photo), int)).sum(axis=2) > 100
    columns = np.nonzero(changed)[1]
    box = reply["faces"][0]["box"]
    assert columns.min() == pytest.approx(box["x"], abs=8)
    assert columns.max() == pytest.approx(box["x"] + box["width"], abs=8)


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


def test_a_photo_that_only_xmp_turns_is_drawn_upright(folder: Path, tmp_path: Path) -> None:
    lying, drawn = tmp_path / "lying.jpg", tmp_path / "drawn.png"
    Image.new("RGB", (300, 200), "grey").save(lying, xmp=b'<x:xmpmeta><x tiff:Orientation="6"/></x:xmpmeta>')
    assert agelens("predict", lying, "--no-detect", "--models-dir", folder, "--annotate", drawn).exit_code == 0
    with Image.open(drawn) as image:
        assert image.size == (200, 300)


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


@pytest.mark.parametrize("words", [("settings",), ("models",), ("models", "--json"), ("predict", "--json", "PHOTO")])
def test_output_that_cannot_be_written_is_one_line(folder: Path, photo: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "service.cli.main", *(str(photo) if word == "PHOTO" else word for word in words)]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, "AGELENS_MODELS_DIR": str(folder)},
        )
    assert ended.returncode == 1
    assert ended.stderr == "agelens: standard output cannot be written: No space left on device\n"


class FullForAWhile(io.StringIO):
    """Has no room for the first line."""

    def write(self, text: str) -> int:
        if text == "lost":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_output_goes_on_where_a_lost_line_was_got_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As logs do, once a full disk has room again."""
    stream = FullForAWhile()
    monkeypatch.setattr(sys, "stdout", stream)
    with checked_stdout():
        with pytest.raises(OutputLost, match="No space left"):
            sys.stdout.write("lost")
        sys.stdout.write("kept")
    assert stream.getvalue() == "kept"


def test_another_error_is_not_taken_for_lost_output() -> None:
    with pytest.raises(OSError, match="Too many open files"), checked_stdout():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorruptPicture, match="standard input is closed"):
        read_photo(Entry("-", "-"))


def test_nothing_is_written_to_stderr(folder: Path, photo: Path) -> None:
    command = [sys.executable, "-m", "service.cli.main", "predict", str(photo), "--models-dir", str(folder)]
    assert subprocess.run(command, check=True, capture_output=True).stderr == b""


def test_both_commands_offer_every_option_with_its_default() -> None:
    for command in ("predict", "score"):
        text = " ".join(agelens(command, "--help").stdout.split())
        for name, option in PredictOptions.model_fields.items():
            assert f"--{name.replace('_', '-')} " in text
            assert str(option.description)[1:40] in text
        assert "[default: 0.9]" in text
        assert "AGELENS_MAX_FACES" in text
        assert "None" not in text


def test_models_are_a_row_each_and_their_details_are_shown_on_request(folder: Path) -> None:
    rows = [line.split() for line in agelens("models", "--models-dir", folder).stdout.splitlines()]
    (row,) = [row for row in rows if row[:1] == ["brightness"]]
    assert row[1:3] == ["1.0.0", "answers"]
    assert [" ".join(row) for row in rows if "Apache-2.0" in row] == ["licence of all: Apache-2.0"]
    details = agelens("models", "--models-dir", folder, "--verbose").stdout
    assert details.count("(answers by default)") == 1
    for entry in ModelLock.read(folder).files:
        assert entry.sha256 in details


def test_licences_that_differ_are_said_with_the_models_that_have_them(tmp_path: Path) -> None:
    entries = []
    for name, licence in (("free", "Apache-2.0"), ("bound", "Research [only]")):
        path = tmp_path / f"{name}.onnx"
        write_brightness_model(path, brightness_manifest(name).model_copy(update={"licence": licence}))
        entries.append(lock_entry(path))
    ModelLock(files=tuple(entries)).write(tmp_path)
    said = agelens("models", "--models-dir", tmp_path).stdout.splitlines()
    assert [line.strip() for line in said if "licence" in line] == [
        "licence of bound: Research [only]",
        "licence of free: Apache-2.0",
    ]


def test_the_error_is_that_of_the_last_measurement_where_the_lock_has_it(tmp_path: Path) -> None:
    path = tmp_path / "brightness.onnx"
    write_brightness_model(path, brightness_manifest().model_copy(update={"metrics": {"test_mae": 4.3}}))
    for noted, shown in ((None, "4.30"), (4.5, "4.50")):
        ModelLock(files=(lock_entry(path).model_copy(update={"error_years": noted}),)).write(tmp_path)
        (row,) = [
            line.split() for line in agelens("models", "--models-dir", tmp_path).stdout.splitlines() if "1.0.0" in line
        ]
        assert row[3] == shown


def test_models_as_json_has_the_manifest(folder: Path) -> None:
    found = json.loads(agelens("models", "--models-dir", folder, "--json").stdout)
    manifests = [file["manifest"]["name"] for file in found if file["manifest"]]
    assert manifests == ["brightness", "other"]


def test_models_folder_without_a_lock_is_named(tmp_path: Path) -> None:
    result = agelens("models", "--models-dir", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert f"models.lock.json is not in the models folder {tmp_path / 'nowhere'}; name" in result.stderr


def test_verify_runs_every_model(folder: Path) -> None:
    result = agelens("models", "verify", "--models-dir", folder)
    assert result.exit_code == 0
    assert result.stdout.count("✓") == 4
    assert result.stdout.count("first run") == 2


def test_verify_names_an_altered_file(tmp_path: Path) -> None:
    folder = write_complete_folder(tmp_path)
    (folder / "brightness-1.0.0.onnx").write_bytes(b"something else")
    result = agelens("models", "verify", "--models-dir", folder)
    assert result.exit_code == 1
    assert "brightness-1.0.0.onnx differs from its sha256" in " ".join(result.stdout.split())


def test_help_shows_an_example_and_the_statuses() -> None:
    text = " ".join(agelens("predict", "--help").stdout.split())
    assert "agelens predict family.jpg" in text
    assert "3 a photograph cannot be read" in text
    assert "4 scoring is done" not in text
    assert "4 scoring is done" in " ".join(agelens("score", "--help").stdout.split())


def test_version_is_that_of_the_package() -> None:
    assert agelens("--version").stdout.strip() == version("agelens")


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in agelens("--help").stdout


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


@pytest.mark.parametrize("name", ["s.png", "sub/../s.png", "link.png", "hard.png"])
def test_the_photograph_is_not_drawn_over(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    photo = tmp_path / "s.png"
    photo.write_bytes(grey(51))
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "hard.png").hardlink_to(photo)
    words = ("--no-detect", "--models-dir", folder, "--annotate", tmp_path / name)
    result = agelens("predict", photo, *words)
    assert (result.exit_code, photo.read_bytes() == grey(51)) == (2, True)
    assert "is the photograph itself; name another file, such as " in result.stderr
    command = [sys.executable, "-m", "service.cli.main", "predict", "-", *map(str, words)]
    with photo.open("rb") as stream:
        assert subprocess.run(command, check=False, capture_output=True, stdin=stream).returncode == 2
    assert photo.read_bytes() == grey(51)


def test_a_drawing_that_fails_leaves_the_file_before_it(folder: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.webp"
    drawn.write_bytes(b"before")
    wide = io.BytesIO()
    Image.new("L", (17_000, 20), 51).save(wide, "PNG")
    words = ("predict", "-", "--no-detect", "--models-dir", folder, "--annotate", drawn)
    result = agelens(*words, stdin=wide.getvalue())
    assert (result.exit_code, drawn.read_bytes(), list(tmp_path.iterdir())) == (1, b"before", [drawn])
    assert "17000 x 20 pixels" in result.stdout
    assert "drawn.webp cannot be written: " in result.stderr
    assert "16383" in result.stderr


def test_a_drawing_goes_where_its_link_leads(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "drawn.png")
    words = ("predict", "-", "--no-detect", "--models-dir", folder, "--annotate", tmp_path / "link.png")
    assert agelens(*words, stdin=grey(51)).exit_code == 0
    assert ((tmp_path / "link.png").is_symlink(), (tmp_path / "drawn.png").is_file()) == (True, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("predict", "--threshold", "18"),
            "no such option: --threshold (Possible options: --thresholds); see `agelens pre",
        ),
        (("predict",), "missing argument 'PHOTO'; see `agelens predict --help`"),
        (("predict", "-", "--fields", "x"), "invalid value for '--fields': 'x' is not one of 'all', 'summary'; see"),
        (("predict", "-", "--interval", "x"), "invalid value for '--interval': it should be a valid number"),
        (("score", "x"), "missing option '--output'; see `agelens score --help`"),
        (("foo\n\x1b[31m",), "no such command 'foo"),
        (("models", "foo"), "no such command 'foo'; see `agelens models --help`"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_where_to_look(words: tuple[str, ...], said: str) -> None:
    result = agelens(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"agelens: {said}")
    assert (result.stderr.count("\n"), "\x1b" in result.stderr) == (1, False)


def test_no_words_at_all_show_the_help() -> None:
    result = agelens()
    assert (result.exit_code, "Estimate ages from photographs." in result.stdout, result.stderr) == (2, True, "")
