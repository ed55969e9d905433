"""Parts of the archive: named by what is in them, written whole or not at all, and read again for their ids."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from service.errors import CorruptPicture
from service.scoring.job import Format
from service.scoring.rows import Row, flat, flat_columns, schema

PREFIX: Final = "part-"
_LONGEST_LINE: Final = 1 << 24


def part_name(ids: Iterable[str], fmt: Format) -> str:
    """Name a part by the photographs in it: the same ones make the same name, whenever and wherever they are scored."""
    digest = hashlib.blake2b(digest_size=12)
    for ident in ids:
        digest.update(ident.encode() + b"\0")
    return f"{PREFIX}{digest.hexdigest()}.{fmt}"


def write_part(path: Path, rows: Sequence[Row], fmt: Format, thresholds: Sequence[int]) -> None:
    """Write a part so that it is there with all its rows or not there, whatever kills this process."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as stream:
        stream.write(_ENCODERS[fmt](rows, schema(thresholds)))
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)


def finished_parts(folder: Path, fmt: Format) -> list[Path]:
    """Return the parts that are there, by name."""
    return sorted(folder.glob(f"{PREFIX}*.{fmt}"))


def sweep(folder: Path) -> None:
    """Delete what killed processes left half-written."""
    for left in folder.glob(f".{PREFIX}*"):
        left.unlink(missing_ok=True)


def ids_in(part: Path, fmt: Format) -> Iterator[str]:
    """Yield the id of each photograph of a part once; raise CorruptPicture naming a part that cannot be read."""
    try:
        column = _READERS[fmt](part)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise CorruptPicture(f"{part} is not a part that can be read; delete it and score again") from error
    yield from (str(ident) for ident in column.unique().to_pylist())


def _parquet(rows: Sequence[Row], columns: pa.Schema) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=columns), stream, compression="zstd")
    return stream.getvalue()


def _csv(rows: Sequence[Row], columns: pa.Schema) -> bytes:
    stream = io.StringIO(newline="")
    # A struct that is null as a whole must not become a column of its own.
    writer = csv.DictWriter(stream, flat_columns(columns), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(flat(row) for row in rows)
    return stream.getvalue().encode()


def _jsonl(rows: Sequence[Row], _columns: pa.Schema) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _ids_of_csv(part: Path) -> pa.ChunkedArray[Any]:
    wanted = pyarrow.csv.ConvertOptions(include_columns=["id"], column_types={"id": pa.string()})
    quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
    blocks = pyarrow.csv.ReadOptions(block_size=_LONGEST_LINE)
    return pyarrow.csv.read_csv(part, blocks, quoted, wanted)["id"]


def _ids_of_jsonl(part: Path) -> pa.ChunkedArray[Any]:
    only = pa.schema([pa.field("id", pa.string())])
    options = pyarrow.json.ParseOptions(explicit_schema=only, unexpected_field_behavior="ignore")
    return pyarrow.json.read_json(part, pyarrow.json.ReadOptions(block_size=_LONGEST_LINE), options)["id"]


_ENCODERS: Final = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}
_READERS: Final = {
    "parquet": lambda part: pq.read_table(part, columns=["id"], partitioning=None)["id"],
    "csv": _ids_of_csv,
    "jsonl": _ids_of_jsonl,
}
