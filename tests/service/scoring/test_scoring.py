"""`agelens score`: every input becomes rows, once, whatever kills it; the real runtime behind a detector's double."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from service.api.schemas import FaceReply, PredictReply
from service.errors import InvalidParameter, InvalidSetting, UnknownModel
from service.inference.lockfile import ModelLock
from service.inference.options import PredictOptions
from service.inference.pipeline import Pipeline
from service.runtime.command_pipeline import open_command_pipeline
from service.scoring.archive import locked
from service.scoring.command import ScoreCommand
from service.scoring.local import score_locally
from service.scoring.tables import Columns
from service.settings import Settings, load_settings
from tests.service.doubles import grey
from tests.service.scoring.doubles import THREADS, middle_face, scored
from tests.tiny_model import lock_entry, write_models_folder

QUIET = Console(quiet=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine pictures: five with a face, two without, one damaged, one that is no picture; and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for number, value in enumerate((51, 102, 153, 204, 255)):
        (folder / "below" / f"{number}.png").write_bytes(grey(value))
    (folder / "black.png").write_bytes(grey(0))
    (folder / "black.JPG").write_bytes(grey(0, fmt="JPEG"))
    (folder / "cut.png").write_bytes(grey(102)[:60])
    (folder / "text.jpeg").write_text("not a picture")
    (folder / "notes.txt").write_text("left alone")
    return folder


@pytest.fixture
def score(tmp_path: Path, models_dir: Path) -> Any:
    """Score with the detector's double in one thread."""

    def run(source: str | Path, output: str = "out", **options: Any) -> Path:
        command = ScoreCommand(
            str(source),
            tmp_path / output,
            **{"models_dir": models_dir, "engine": THREADS, "pipeline": middle_face, **options},
        )
        assert command.run(QUIET) == 0
        return tmp_path / output

    return run


def test_the_settings_reach_each_worker_without_secrets(
    score: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGELENS_API_KEYS", "secret")
    monkeypatch.setenv("AGELENS_DETECTOR", "mediapipe")
    monkeypatch.setenv("AGELENS_MAX_VIEWS", "3")
    told: list[Settings] = []

    def opened(settings: Settings, options: PredictOptions) -> Pipeline:
        told.append(settings)
        return middle_face(settings, options)

    out = score(photos, pipeline=opened)
    assert (told[0].detector, told[0].max_views) == ("mediapipe", 3)
    assert told[0].models_folder.is_absolute()
    assert told[0].api_keys == ()
    assert json.loads((out / "score.json").read_text())["detector"] == "mediapipe"


def test_each_picture_of_a_folder_becomes_rows(score: Any, photos: Path) -> None:
    rows = scored(score(photos))
    assert {row["id"]: row["status"] for row in rows} == {
        **{f"below/{number}.png": "ok" for number in range(5)},
        "black.png": "no_face",
        "black.JPG": "no_face",
        "cut.png": "error",
        "text.jpeg": "error",
    }
    assert [row["age"] for row in rows[:5]] == pytest.approx([20, 40, 60, 80, 100], abs=1e-4)


def test_failures_say_why(score: Any, photos: Path) -> None:
    reasons = {row["id"]: row["error"] for row in scored(score(photos)) if row["status"] == "error"}
    assert reasons == {"cut.png": "corrupt-picture", "text.jpeg": "unsupported-picture"}


def test_a_picture_that_would_take_its_decoder_too_long_is_a_row(
    score: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    write_models_folder(folder, "brightness")
    (photos / "dear.png").write_bytes(grey(51, 2000))
    monkeypatch.setenv("AGELENS_MAX_DECODE_S", "0.05")
    rows = scored(
        score(photos, models_dir=folder, pipeline=open_command_pipeline, options=PredictOptions(detect=False))
    )
    dear = next(row for row in rows if row["id"] == "dear.png")
    assert (dear["status"], dear["error"]) == ("error", "picture-too-large")
    assert "AGELENS_MAX_DECODE_S" in dear["detail"]
    assert sum(row["status"] == "ok" for row in rows) == 7


def test_an_option_that_is_wrong_for_every_photograph_ends_the_run(
    score: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "visitors.csv"
    table.write_text("age,share\n30,1\n")
    monkeypatch.setenv("AGELENS_PRIORS", f"visitors={table}")  # which the pipeline of these tests does not know
    with pytest.raises(InvalidParameter, match="visitors"):
        score(photos, options=PredictOptions(prior="visitors"))
    assert not list((tmp_path / "out").glob("part-*"))


def test_a_row_has_the_members_of_a_reply_and_its_values(score: Any, photos: Path, models_dir: Path) -> None:
    options = PredictOptions(thresholds=(18, 65), interval=0.8)
    row = scored(score(photos, options=options))[1]
    pipeline = middle_face(load_settings(models_dir=models_dir), options)
    reply = PredictReply.of(pipeline.predict((photos / "below/1.png").read_bytes(), options), options, "")
    face = reply.faces[0].model_dump(mode="json")
    assert {name: row[name] for name in FaceReply.model_fields} == face
    assert (row["model"], row["image"]) == (reply.model.model_dump(), reply.image.model_dump())


def test_json_lines_and_csv_say_the_same_as_parquet(score: Any, photos: Path) -> None:
    parquet, lines, table = (scored(score(photos, fmt, format=fmt)) for fmt in ("parquet", "jsonl", "csv"))
    assert [{name: value for name, value in row.items() if value is not None} for row in parquet] == lines
    assert [row["id"] for row in table] == [row["id"] for row in lines]
    assert float(table[1]["age"]) == lines[1]["age"]
    assert json.loads(table[1]["threshold_probabilities"]) == lines[1]["threshold_probabilities"]
    assert float(table[1]["box_width"]) == lines[1]["box"]["width"]


def test_a_second_run_adds_nothing(score: Any, photos: Path) -> None:
    output = score(photos)
    before = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    score(photos)
    assert {path: path.stat().st_mtime_ns for path in output.glob("part-*")} == before


def test_a_lost_part_comes_back_under_its_name_and_a_new_picture_alone(score: Any, photos: Path) -> None:
    output = score(photos)
    rows, names = scored(output), sorted(path.name for path in output.glob("part-*"))
    assert len(names) == 2
    (output / names[0]).unlink()
    score(photos)
    assert (scored(output), sorted(path.name for path in output.glob("part-*"))) == (rows, names)
    (photos / "new.png").write_bytes(grey(204))
    score(photos)
    assert len(scored(output)) == len(rows) + 1


def test_other_questions_are_refused_in_the_same_folder(score: Any, photos: Path) -> None:
    score(photos)
    with pytest.raises(
        InvalidParameter, match=r"holds results of another command: interval was 0.9, is 0.5; choose another --output"
    ):
        score(photos, options=PredictOptions(interval=0.5))


def test_an_output_inside_the_input_is_not_read(score: Any, photos: Path) -> None:
    for _ in range(2):
        assert len(scored(score(photos, "photos/out"))) == 9


def test_two_runs_do_not_write_to_one_folder(score: Any, photos: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(InvalidSetting, match="another `agelens score` writes"):
        score(photos)


@pytest.mark.parametrize("source", ["nowhere", "*.none", "nowhere://bucket", "empty"])
def test_an_input_that_is_nothing_is_refused(score: Any, tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidParameter):
        score(source if ":" in source else tmp_path / source)


def test_unknown_model_is_refused_before_any_worker_starts(score: Any, photos: Path) -> None:
    with pytest.raises(UnknownModel, match="nobody"):
        score(photos, options=PredictOptions(model="nobody"))


def test_processes_and_threads_write_the_same_parts(score: Any, photos: Path) -> None:
    threads, processes = score(photos, "threads"), score(photos, "processes", engine=score_locally, workers=2)
    assert scored(threads) == scored(processes)
    assert {path.name for path in threads.glob("part-*")} == {path.name for path in processes.glob("part-*")}


@pytest.mark.parametrize("fmt", ["parquet", "csv", "jsonl"])
def test_rows_without_an_id_or_with_one_twice_are_counted_and_none_is_lost(
    tmp_path: Path, models_dir: Path, fmt: Any
) -> None:
    table = pa.table({"image": [grey(51)] * 6, "key": [None, None, "x", "x", "t.parquet#0", "=1+1"]})
    pq.write_table(table, tmp_path / "t.parquet")
    command = ScoreCommand(
        str(tmp_path / "t.parquet"),
        tmp_path / "out",
        format=fmt,
        columns=Columns(id="key"),
        models_dir=models_dir,
        pipeline=middle_face,
        engine=THREADS,
        report=True,
    )
    for _ in range(2):  # the second time there is nothing to score, and the archive is the same
        said = io.StringIO()
        assert command.run(Console(file=said, width=500)) == 4
        assert "not scored, missing-id: 2: 't.parquet#0', 't.parquet#1'" in said.getvalue()
        assert "not scored, repeated-id: 2: 't.parquet#3', 't.parquet#4'" in said.getvalue()
    rows = scored(tmp_path / "out")
    assert len(rows) == 6
    assert {row["id"].lstrip("'"): row["status"] for row in rows if row["status"] == "ok"} == {"x": "ok", "=1+1": "ok"}
    report = (tmp_path / "out" / "report.html").read_text()
    assert "missing-id" in report
    assert "repeated-id" in report


def test_file_that_cannot_be_read_is_named_and_makes_the_exit_status_4(
    tmp_path: Path, photos: Path, models_dir: Path
) -> None:
    (photos / "gone.jpg").symlink_to(photos / "nowhere")
    command = ScoreCommand(str(photos), tmp_path / "out", models_dir=models_dir, pipeline=middle_face, engine=THREADS)
    said = io.StringIO()
    assert command.run(Console(file=said, width=500)) == 4
    assert "not scored, unreadable: 1: 'gone.jpg'" in said.getvalue()
    (row,) = [row for row in scored(tmp_path / "out") if row["error"] == "unreadable"]
    assert row["detail"] == f"{photos / 'gone.jpg'}: No such file or directory"
    assert "cut.png" not in said.getvalue()


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("", "9 photographs in |: 5 faces, 2 without a face, 2 failures (status `error`; "),
        ("cut.png", "1 photograph in |: 0 faces, 0 without a face, 1 failure (status `error`; "),
        ("below/1.png", "1 photograph in |: 1 face, 0 without a face, 0 failures\n"),
    ],
)
def test_the_summary_counts_and_says_where_the_failures_are(
    tmp_path: Path, photos: Path, models_dir: Path, source: str, counts: str
) -> None:
    said = io.StringIO()
    options: Any = {"models_dir": models_dir, "pipeline": middle_face, "engine": THREADS}
    ScoreCommand(str(photos / source), tmp_path / "out", **options).run(Console(file=said, width=500))
    assert all(part in said.getvalue() for part in counts.split("|"))


def test_a_resumed_run_counts_the_failures_that_were_there_already(
    tmp_path: Path, photos: Path, models_dir: Path
) -> None:
    options: Any = {"models_dir": models_dir, "pipeline": middle_face, "engine": THREADS}
    said = [io.StringIO(), io.StringIO()]
    for stream in said:
        ScoreCommand(str(photos), tmp_path / "out", **options).run(Console(file=stream, width=500))
        (photos / "more.png").write_bytes(b"no picture")
    assert "0 without a face, 1 failure; 9 were there already, 2 failures among them, not tried again" in (
        said[1].getvalue()
    )
    assert "10/10" in said[1].getvalue()
    assert "3 failures" in said[1].getvalue()


def test_without_a_model_s_name_only_the_one_that_answers_is_loaded(tmp_path: Path, photos: Path) -> None:
    write_models_folder(tmp_path, "brightness")
    damaged = lock_entry(tmp_path / "brightness-1.0.0.onnx").model_copy(
        update={"file": "second.onnx", "sha256": "0" * 64}
    )
    ModelLock(files=(*ModelLock.read(tmp_path).files, damaged)).write(tmp_path)
    command = ScoreCommand(
        str(photos), tmp_path / "out", models_dir=tmp_path, pipeline=middle_face, engine=THREADS, workers=1
    )
    assert command.run(QUIET) == 0


def test_the_model_that_the_settings_load_scores(
    score: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    write_models_folder(folder, "brightness", "other")
    monkeypatch.setenv("AGELENS_MODELS", "other")
    out = score(photos, models_dir=folder, pipeline=open_command_pipeline, options=PredictOptions(detect=False))
    assert {row["model"]["name"] for row in scored(out) if row["status"] == "ok"} == {"other"}


@pytest.mark.parametrize("name", [".lock", "score.json", ".partial.left"])
def test_folder_where_a_file_of_the_archive_should_be_is_named(
    tmp_path: Path, score: Any, photos: Path, name: str
) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)
    with pytest.raises(InvalidSetting, match=f"{re.escape(str(tmp_path / 'out'))}.*{re.escape(name)}"):
        score(photos)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"chunk_size": []}'])
def test_agreement_that_is_none_is_named(tmp_path: Path, score: Any, photos: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/score.json").write_text(text)
    with pytest.raises(InvalidSetting, match=r"score\.json is not what"):
        score(photos)


@contextmanager
def no_file_over_1_kb() -> Iterator[None]:
    """A disk that is full after the first KiB of each file; not for longer than that, or pytest's own log would end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_is_said_in_a_line_and_leaves_nothing_half_written(tmp_path: Path, score: Any, photos: Path) -> None:
    full = pytest.raises(InvalidSetting, match=r"--output .*/out cannot be written: .*File too large")
    with full, no_file_over_1_kb():
        score(photos)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "score.json"}


def test_csv_has_all_columns_even_where_no_row_has_them(score: Any, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"nothing")
    (part,) = score(tmp_path / "one.png", format="csv", options=PredictOptions(thresholds=(18,))).glob("part-*")
    (row,) = csv.DictReader(part.read_text().splitlines())
    assert {"age", "box_x", "landmarks_left_eye", "interval_low", "at_least_18"} <= set(row)


def test_faces_cut_out_need_no_detector(tmp_path: Path, models_dir: Path) -> None:
    (tmp_path / "one.png").write_bytes(grey(51))
    options = PredictOptions(detect=False)
    ScoreCommand(
        str(tmp_path / "one.png"), tmp_path / "out", options=options, models_dir=models_dir, engine=THREADS
    ).run(QUIET)
    (row,) = scored(tmp_path / "out")
    assert (row["age"], row["landmarks"]) == (pytest.approx(20, abs=1e-4), None)


@pytest.mark.parametrize("fmt", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("source", ["album", "list"])
def test_an_unreadable_file_whose_name_is_not_utf8_is_a_row(
    tmp_path: Path, models_dir: Path, fmt: Any, source: str
) -> None:
    (tmp_path / "album").mkdir()
    gone = os.fsdecode(b"x\xff.jpg")
    (tmp_path / "album" / gone).symlink_to("nowhere")
    (tmp_path / "album" / "a.png").write_bytes(grey(51))
    (tmp_path / "list").write_bytes(os.fsencode(f"album/{gone}\n{tmp_path}/album/a.png\n") + bytes(range(256)))
    command = ScoreCommand(
        str(tmp_path / source),
        tmp_path / os.fsdecode(b"out\xff"),
        format=fmt,
        models_dir=models_dir,
        pipeline=middle_face,
        engine=THREADS,
        report=True,
    )
    for _ in range(2):
        assert command.run(QUIET) == 4
    rows = scored(command.output)
    assert [row["status"] for row in rows].count("ok") == 1
    failed = {row["id"]: row["detail"] for row in rows if row.get("error") == "unreadable"}
    (detail,) = (each for ident, each in failed.items() if ident.endswith("x\\xff.jpg"))
    assert detail.endswith("x\\xff.jpg: No such file or directory")
    assert len(rows) == len(failed) + 1


def test_the_report_names_a_folder_that_is_not_utf8(score: Any, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    (folder / "a.png").write_bytes(grey(51))
    assert "\\xff" in (score(folder, report=True) / "report.html").read_text()


def test_the_summary_names_files_as_text_in_one_line_that_does_nothing_to_a_terminal(
    tmp_path: Path, models_dir: Path
) -> None:
    folder = tmp_path / "[red]\n\x1b[31m"
    folder.mkdir()
    (folder / os.fsdecode(b"x\xff\n.jpg")).symlink_to("nowhere")
    said = io.StringIO()
    options: Any = {"models_dir": models_dir, "pipeline": middle_face, "engine": THREADS, "report": True}
    ScoreCommand(str(folder), folder / "out", **options).run(Console(file=said, width=500))
    lines = said.getvalue().splitlines()
    assert r"not scored, unreadable: 1: 'x\xff\n.jpg'" in lines
    assert rf"report: {tmp_path}/[red]\n\x1b[31m/out/report.html" in lines


def test_results_that_lie_in_the_input_are_said_to_be_left_out(tmp_path: Path, photos: Path, models_dir: Path) -> None:
    said = io.StringIO()
    options: Any = {"models_dir": models_dir, "pipeline": middle_face, "engine": THREADS}
    for name in ("first", "second"):
        ScoreCommand(str(photos), photos / name, **options).run(Console(file=said, width=500))
    assert f"left out, results of an earlier `agelens score`: 1: '{photos}/first'\n" in said.getvalue()
    assert {row["id"] for row in scored(photos / "first")} == {row["id"] for row in scored(photos / "second")}


def test_output_that_is_the_input_is_left_as_it_was(score: Any, photos: Path) -> None:
    before = sorted(photos.iterdir())
    with pytest.raises(InvalidParameter, match="--output is INPUT itself"):
        score(photos, photos.name)
    assert sorted(photos.iterdir()) == before
