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
from service.scoring import storage
from service.scoring.command import ScoreCommand
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
        command = ScoreCommand(
            str(source),
            tmp_path / "out",
            **{"models_dir": models_dir, "engine": THREADS, "pipeline": middle_face, **options},
        )
        said = io.StringIO()
        return command.run(Console(file=said, width=500)), said.getvalue()

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
