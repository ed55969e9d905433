"""`agelens score` into a folder that has rows: those of another command or table are not taken for its own."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from service.errors import InvalidParameter, InvalidSetting
from service.inference.options import PredictOptions
from service.scoring import command, storage
from service.scoring.command import ScoreCommand
from service.scoring.parts import drop_failures
from service.scoring.tables import Columns
from tests.service.doubles import grey
from tests.service.scoring.doubles import THREADS, middle_face, scored

CHANGED = "holds rows of {} by their numbers, perhaps of other content: .*; choose another --output"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures, and a table of them with two columns of paths and one of ids."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in {"young.png": 51, "old.png": 204}.items():
        (folder / name).write_bytes(grey(value))
    (folder / "t.csv").write_text("path,other,key\nyoung.png,old.png,1\nold.png,young.png,2\n")
    return folder


@pytest.fixture
def score(tmp_path: Path, models_dir: Path) -> Any:
    """Score into one folder with the detector's double in one thread; return the exit status and what is said."""

    def run(source: Path, **options: Any) -> tuple[int, str]:
        asked = ScoreCommand(
            str(source),
            tmp_path / "out",
            **{"models_dir": models_dir, "engine": THREADS, "pipeline": middle_face, **options},
        )
        said = io.StringIO()
        return asked.run(Console(file=said, width=500)), said.getvalue()

    return run


def ages(output: Path) -> dict[str, float | None]:
    return {row["id"]: row["age"] and round(row["age"]) for row in scored(output)}


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (Columns("path"), Columns("other"), "column was path, is other"),
        (Columns("path", "key"), Columns("other", "key"), "column was path, is other"),
        (Columns("path"), Columns("path", "key"), "id_column was None, is key"),
        (Columns("path", "key"), Columns("path"), "id_column was key, is None"),
    ],
)
def test_other_columns_are_refused_in_the_same_folder(
    score: Any, photos: Path, then: Columns, now: Columns, said: str
) -> None:
    score(photos / "t.csv", columns=then)
    with pytest.raises(InvalidParameter, match=f"holds results of another command: {said}"):
        score(photos / "t.csv", columns=now)
    assert score(photos / "t.csv", columns=then)[0] == 0


def test_a_table_whose_lines_were_swapped_is_refused_where_its_rows_are_numbers(score: Any, photos: Path) -> None:
    table = photos / "t.csv"
    score(table)
    first, *rows = table.read_text().splitlines()
    table.write_text("\n".join([first, *rows[::-1]]) + "\n")
    with pytest.raises(InvalidParameter, match=CHANGED.format("t.csv")):
        score(table)


def test_a_table_whose_rows_have_ids_may_be_sorted_and_grow(score: Any, photos: Path, tmp_path: Path) -> None:
    table = photos / "t.csv"
    score(table, columns=Columns("path", "key"))
    first, *rows = table.read_text().splitlines()
    table.write_text("\n".join([first, *rows[::-1], "young.png,old.png,3"]) + "\n")
    score(table, columns=Columns("path", "key"))
    assert ages(tmp_path / "out") == {"1": 20, "2": 80, "3": 20}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_tables_of_a_folder_may_be_added_and_taken_away_but_not_changed(
    score: Any, photos: Path, tmp_path: Path, scheme: str
) -> None:
    pq.write_table(pa.table({"path": ["young.png", "old.png"]}), photos / "a.parquet")
    source = f"{scheme}{photos}"
    score(source)
    pq.write_table(pa.table({"path": ["old.png"]}), photos / "b.parquet")
    (photos / "a.parquet").rename(tmp_path / "a.parquet")
    score(source)
    assert ages(tmp_path / "out") == {
        "young.png": 20,
        "old.png": 80,
        "a.parquet#0": 20,
        "a.parquet#1": 80,
        "b.parquet#0": 80,
    }
    (tmp_path / "a.parquet").rename(photos / "a.parquet")
    score(source)
    pq.write_table(pa.table({"path": ["old.png", "young.png"]}), photos / "a.parquet")
    with pytest.raises(InvalidParameter, match=CHANGED.format("a.parquet")):
        score(source)


def test_a_table_that_was_damaged_is_scored_once_it_is_repaired(score: Any, photos: Path, tmp_path: Path) -> None:
    table = photos / "t.csv"
    good = table.read_text()
    table.write_text(good.replace("old.png,young", '"old.png,young'))
    source = photos / "*.*"
    assert score(source)[0] == 4
    assert len(scored(tmp_path / "out")) == 3
    table.write_text(good)
    assert score(source, retry_failures=True)[0] == 0
    found = {Path(name).name: age for name, age in ages(tmp_path / "out").items()}
    assert found == {"young.png": 20, "old.png": 80, "t.csv#0": 20, "t.csv#1": 80}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_of_a_large_table_its_end_and_the_time_of_its_change_tell(
    score: Any, photos: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(storage, "_DIGESTED", 8)
    table = photos / "t.csv"
    source = f"{scheme}{table}"
    score(source)
    score(source)
    swapped = table.read_text().replace("young.png,old.png,1", "old.png,young.png,1")
    table.write_text(swapped)
    os.utime(table, ns=(0, 10**18))
    with pytest.raises(InvalidParameter, match=CHANGED.format("t.csv")):
        score(source)


def as_of_an_older_version(output: Path) -> None:
    """Take out of `score.json` what versions before did not note."""
    terms = json.loads((output / "score.json").read_text())
    kept = {"input", "format", "version", "sha256", "options", "chunk_size"}
    (output / "score.json").write_text(json.dumps({name: terms[name] for name in kept}, indent=2) + "\n")


def test_an_archive_of_an_older_version_is_resumed_where_ids_are_names(score: Any, photos: Path) -> None:
    score(photos)
    as_of_an_older_version(photos.parent / "out")
    assert "2 were there already" in score(photos)[1]
    assert "2 were there already" in score(photos)[1]


def test_an_archive_of_an_older_version_is_refused_where_ids_are_numbers(score: Any, photos: Path) -> None:
    score(photos / "t.csv")
    as_of_an_older_version(photos.parent / "out")
    with pytest.raises(InvalidParameter, match=CHANGED.format("t.csv")):
        score(photos / "t.csv")


@pytest.mark.parametrize("tables", [7, ["t.csv"]])
def test_tables_in_score_json_that_are_none_are_named(score: Any, photos: Path, tables: Any) -> None:
    score(photos)
    path = photos.parent / "out" / "score.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tables": tables}))
    with pytest.raises(InvalidSetting, match=re.escape("score.json is not what")):
        score(photos)


@pytest.fixture
def missing(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of three pictures, one that is damaged, and two that are not there yet."""
    (photos / "cut.png").write_bytes(grey(102)[:60])
    (photos / "=1+1.png").write_bytes(grey(153))
    listed = photos.parent / "list.txt"
    listed.write_text("young.png\ngone.png\ncut.png\nlate.png\n=1+1.png\nold.png\n")
    monkeypatch.chdir(photos)
    return listed


def test_failures_are_tried_again_where_that_is_asked_for(score: Any, photos: Path, missing: Path) -> None:
    assert score(missing)[0] == 4
    (photos / "gone.png").write_bytes(grey(102))
    status, said = score(missing)
    assert (status, "3 failures among them, not tried again without --retry-failures" in said) == (4, True)
    status, said = score(missing, retry_failures=True)
    assert (status, "tried again: 3 failures" in said) == (4, True)
    assert "1 face, 0 without a face, 2 failures; 3 were there already (status" in said
    (photos / "late.png").write_bytes(grey(0))
    assert score(missing, retry_failures=True)[0] == 0
    rows = scored(photos.parent / "out")
    assert {row["id"]: row["age"] and round(row["age"]) for row in rows if row["status"] == "ok"} == {
        "young.png": 20,
        "gone.png": 40,
        "=1+1.png": 60,
        "old.png": 80,
    }
    assert [(row["id"], row["status"]) for row in rows if row["age"] is None] == [
        ("cut.png", "error"),
        ("late.png", "no_face"),
    ]


@pytest.mark.parametrize("fmt", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("chunk_size", [1, 6])
def test_rows_that_are_no_failures_stay_as_they_are(
    score: Any, photos: Path, missing: Path, fmt: Any, chunk_size: int
) -> None:
    output = photos.parent / "out"

    def rows() -> list[dict[str, Any]]:
        return [row for row in scored(output) if row["status"] != "error"]

    options = {"format": fmt, "chunk_size": chunk_size, "options": PredictOptions(thresholds=(18,))}
    score(missing, **options)
    before = rows()
    assert len(before) == 3
    score(missing, **options, retry_failures=True)
    assert rows() == before
    assert len(scored(output)) == 6
    assert len(list(output.glob("part-*"))) == {1: 6, 6: 2}[chunk_size]


class Killed(BaseException):
    """Stands for a kill: nobody catches it."""


@pytest.mark.parametrize("parts", [0, 1, 2])
def test_a_kill_while_failures_are_tried_again_loses_and_doubles_nothing(
    score: Any, photos: Path, missing: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    output = photos.parent / "out"
    score(missing, chunk_size=2)  # parts with one failure, with nothing else, and with none
    before = {row["id"]: row["status"] for row in scored(output)}
    dropped: list[Path] = []

    def drop(part: Path, fmt: Any) -> int:
        if len(dropped) == parts:
            raise Killed
        dropped.append(part)
        return drop_failures(part, fmt)

    monkeypatch.setattr(command, "drop_failures", drop)
    with pytest.raises(Killed):
        score(missing, retry_failures=True)
    left = {row["id"] for row in scored(output)}
    assert {ident for ident, status in before.items() if status != "error"} <= left
    score(missing)
    rows = scored(output)
    assert len(rows) == len(before) == 6
    assert {row["id"]: row["status"] for row in rows} == before


def test_a_part_is_never_without_its_rows_while_its_failures_are_dropped(
    score: Any, photos: Path, missing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(missing)
    (part,) = (photos.parent / "out").glob("part-*")
    before = part.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: raises(Killed()))
    with pytest.raises(Killed):
        drop_failures(part, "parquet")
    assert [path.read_bytes() for path in part.parent.glob("part-*")] == [before]


def raises(error: BaseException) -> None:
    raise error


def test_rows_outside_a_tables_folder_are_tried_again_once_they_are_allowed(
    score: Any, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.png").write_bytes(grey(51))
    table = photos / "links.csv"
    table.write_text("path\n../outside.png\nyoung.png\n")
    assert score(table)[0] == 4
    assert score(table, columns=Columns(any_path=True), retry_failures=True)[0] == 0
    assert ages(tmp_path / "out") == {"links.csv#0": 20, "links.csv#1": 20}


@pytest.mark.parametrize(
    ("name", "value", "free"), [("MAX_PIXELS", 10**6, True), ("MAX_DECODE_MB", 2048, True), ("MAX_VIEWS", 3, False)]
)
def test_limits_are_those_of_the_first_run_until_failures_are_tried_again(
    score: Any, photos: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int, free: bool
) -> None:
    score(photos)
    monkeypatch.setenv(f"AGELENS_{name}", str(value))
    said = rf"{name.lower()} was \d+, is {value}; choose another --output"
    with pytest.raises(InvalidParameter, match=said + (" or, .* add --retry-failures$" if free else "$")):
        score(photos)
    if free:
        score(photos, retry_failures=True)
        score(photos)
    else:
        with pytest.raises(InvalidParameter, match=said):
            score(photos, retry_failures=True)


def test_a_picture_that_was_too_large_is_scored_once_it_is_allowed(
    score: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGELENS_MAX_PIXELS", "1024")
    score(photos)
    assert {row["error"] for row in scored(photos.parent / "out")} == {"picture-too-large"}
    monkeypatch.delenv("AGELENS_MAX_PIXELS")
    score(photos, retry_failures=True)
    assert ages(photos.parent / "out") == {"young.png": 20, "old.png": 80}
