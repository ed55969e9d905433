"""Parts of an archive of rows: whole or not there, each photograph once, ids that come back as they were."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.atomic_write import atomic_write
from service.errors import InvalidParameter
from service.scoring.archive import SeenIds, agree, chunks, finished
from service.scoring.job import Fault, Item
from service.scoring.parts import ids_in, part_name, write_part
from service.scoring.rows import failure, schema

RUNS = ("=cmd", "+1", "-2", "@SUM", "\ttab", "\rcr", "＝1")
"""What a spreadsheet takes for a formula."""


def test_a_part_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowInvalid):
        write_part(tmp_path / "part-1.parquet", [{"id": "a", "face": "no number"}], "parquet", ())
    assert not list(tmp_path.iterdir())


def test_a_part_is_written_beside_another_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "part-1.csv"
    with atomic_write(path) as other:
        other.write_text("half")
        write_part(path, [failure("a", OSError())], "csv", ())
        assert list(ids_in(path, "csv")) == [("a", "unreadable")]
        assert other.read_text() == "half"


def test_an_id_in_two_parts_is_found(tmp_path: Path) -> None:
    for number in range(2):
        write_part(tmp_path / f"part-{number}.csv", [failure("a,\nb", OSError())], "csv", ())
    with pytest.raises(InvalidParameter, match=r"part-1\.csv and in another part"):
        finished(tmp_path, "csv")


@pytest.mark.parametrize("fmt", ["parquet", "csv", "jsonl"])
def test_ids_come_back_from_parts(tmp_path: Path, fmt: Any) -> None:
    ids = [
        '"quoted", comma',
        "null\0",
        "null\0\0character",
        "new\nline",
        "ünïcode",
        "007",
        "null",
        *RUNS,
        *(f"'{run}" for run in RUNS),
        "'",
        "''a",
    ]
    write_part(tmp_path / "part", [failure(ident, OSError()) for ident in ids for _ in range(2)], fmt, (18,))
    assert list(ids_in(tmp_path / "part", fmt)) == [(ident, "unreadable") for ident in ids]


def test_no_cell_of_csv_begins_as_a_formula_does(tmp_path: Path) -> None:
    rows = [failure(run, Fault("path-outside", f"{run} is wrong")) for run in RUNS]
    write_part(tmp_path / "part", rows, "csv", ())
    with (tmp_path / "part").open(newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row if cell]
    assert len(cells) > 4 * len(RUNS)
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n＝＋－＠"]


def test_seen_ids_forget_nothing_when_they_are_many() -> None:
    seen = SeenIds()
    many = 70_000
    assert all(seen.add(str(number)) for number in range(many))
    assert not any(seen.add(str(number)) for number in range(0, many, 7))
    assert len(seen) == many


def test_chunks_are_named_by_what_is_in_them() -> None:
    items = [Item(str(number), None) for number in (*range(5), 0)]
    made = list(chunks(items, SeenIds(), 2, "csv"))
    assert [chunk["ids"] for chunk in made] == [["0", "1"], ["2", "3"], ["4", "0#again"]]
    assert [fault and fault[0] for fault in made[2]["faults"]] == [None, "repeated-id"]
    assert made[0]["part"] == part_name(["0", "1"], "csv") != part_name(["01"], "csv")


def test_ids_with_a_null_character_do_not_share_the_name_of_a_part() -> None:
    names = {part_name(ids, "csv") for ids in (["a\0b"], ["a", "b"], ["a\0", "b"], ["a", "\0b"])}
    assert len(names) == 4


def test_heavy_pictures_fill_a_chunk_sooner() -> None:
    items = [Item(str(number), None, bytes(20 * 2**20)) for number in range(3)]
    assert [len(chunk["ids"]) for chunk in chunks(items, SeenIds(), 256, "csv")] == [2, 1]


def test_the_chunk_size_is_that_of_the_first_run(tmp_path: Path) -> None:
    assert agree(tmp_path, {"input": "a"}, 100) == 100
    assert agree(tmp_path, {"input": "a"}, 7) == 100


def test_parquet_has_one_schema_whatever_is_in_a_part(tmp_path: Path) -> None:
    write_part(tmp_path / "part", [failure("a", OSError())], "parquet", (18,))
    assert pq.read_schema(tmp_path / "part").equals(schema((18,)))
