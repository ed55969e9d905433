"""Parts of the archive: named by what is in them, written whole or not at all, and read again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from service.atomic_write import PARTIAL, atomic_write
from service.errors import CorruptPicture, InvalidSetting
from service.scoring.job import Format
from service.scoring.rows import ERROR, Row, flat, flat_columns, schema
from service.scoring.storage import open_bytes

PREFIX: Final = "part-"
_LONGEST_LINE: Final = 1 << 24
_RUNS: Final = re.compile("'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]")
"""Beginnings of text that a spreadsheet runs as a formula, in Latin or full-width characters, or skips before one."""


def part_name(ids: Iterable[str], fmt: Format) -> str:
    """Name a part by the photographs in it: the same ones make the same name, whenever and wherever they are scored."""
    digest = hashlib.blake2b(digest_size=12)
    for ident in ids:
        name = ident.encode()
        digest.update(len(name).to_bytes(8) + name)
    return f"{PREFIX}{digest.hexdigest()}.{fmt}"


def write_part(path: Path, rows: Sequence[Row], fmt: Format, thresholds: Sequence[int]) -> None:
    """Write a part atomically: it has all its rows or does not exist, even if this process is killed."""
    with writing(path.parent), atomic_write(path, shared=True) as partial:  # two nodes may write the same part
        partial.write_bytes(_ENCODERS[fmt](rows, schema(thresholds)))


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an OSError while writing, such as a full disk, into InvalidSetting naming file and reason."""
    try:
        yield
    except OSError as error:
        where = Path(error.filename).name if error.filename else "it"
        raise InvalidSetting(f"--output {folder} cannot be written: {where}: {error.strerror or error}") from error


def finished_parts(folder: Path, fmt: Format) -> list[Path]:
    """Return the parts that are there, by name."""
    return sorted(folder.glob(f"{PREFIX}*.{fmt}"))


def sweep(folder: Path) -> None:
    """Delete unfinished files of killed processes."""
    for left in folder.glob(f"{PARTIAL}*"):
        left.unlink(missing_ok=True)


def ids_in(part: Path, fmt: Format) -> Iterator[tuple[str, str | None]]:
    """Yield each photograph of a part once, its id and the reason of its failure or None.

    Raises CorruptPicture naming a part that cannot be read.
    """
    before = None
    for row in columns_in(part, fmt, "id", "error").to_pylist():
        if row["id"] != before:
            yield row["id"], row["error"] or None
        before = row["id"]


def drop_failures(part: Path, fmt: Format) -> int:
    """Take the failures out of a part and return their number; one with nothing else is deleted.

    Atomic, and under the old name: a part of another name beside it would have its ids twice. No chunk takes the name,
    since ids are left that are not scored again. Raises CorruptPicture naming a part that cannot be read.
    """
    count = sum(reason is not None for _, reason in ids_in(part, fmt))
    if count:
        kept = _KEEPERS[fmt](part.read_bytes())
        with writing(part.parent):
            if kept:
                with atomic_write(part) as partial:
                    partial.write_bytes(kept)
            else:
                part.unlink()
    return count


def columns_in(part: Path, fmt: Format, *names: str) -> pa.Table:
    """Read some columns of a part, members of structs as columns of their own as in CSV.

    Raises CorruptPicture naming a part that cannot be read.
    """
    wanted = pa.schema([schema().field(name) for name in names])
    try:
        with open_bytes(str(part)) as stream:
            table = _READERS[fmt](stream, wanted).flatten()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise CorruptPicture(f"{part} is not a part that can be read; delete it and score again") from error
    return table.rename_columns(flat_columns(wanted))


def _parquet(rows: Sequence[Row], columns: pa.Schema) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=columns), stream, compression="zstd")
    return stream.getvalue()


def _csv(rows: Sequence[Row], columns: pa.Schema) -> bytes:
    stream = io.StringIO(newline="")
    # A struct that is null as a whole must not become a column of its own.
    writer = csv.DictWriter(stream, flat_columns(columns), extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _inert(cell) for name, cell in flat(row).items()} for row in rows)
    return stream.getvalue().encode()


def _inert(cell: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run; reading takes it away again.

    Text that begins with apostrophes and would run without them gets one more, so that each has one reading.
    """
    return f"'{cell}" if isinstance(cell, str) and _RUNS.match(cell) else cell


def _jsonl(rows: Sequence[Row], _columns: pa.Schema) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _read_parquet(stream: Any, wanted: pa.Schema) -> pa.Table:
    return pq.read_table(stream, columns=wanted.names)


def _read_csv(stream: Any, wanted: pa.Schema) -> pa.Table:
    flattened = wanted.empty_table().flatten().schema
    types = dict(zip(flat_columns(wanted), flattened.types, strict=True))
    convert = pyarrow.csv.ConvertOptions(include_columns=list(types), column_types=types)
    quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
    blocks = pyarrow.csv.ReadOptions(block_size=_LONGEST_LINE)
    table = pyarrow.csv.read_csv(stream, blocks, quoted, convert)
    for place, (name, kind) in enumerate(types.items()):
        if pa.types.is_string(kind):
            table = table.set_column(
                place, name, pc.replace_substring_regex(table[name], f"^'({_RUNS.pattern})", r"\1")
            )
    return table


def _read_jsonl(stream: Any, wanted: pa.Schema) -> pa.Table:
    options = pyarrow.json.ParseOptions(explicit_schema=wanted, unexpected_field_behavior="ignore")
    return pyarrow.json.read_json(stream, pyarrow.json.ReadOptions(block_size=_LONGEST_LINE), options)


def _kept_parquet(part: bytes) -> bytes:
    kept = pq.read_table(pa.BufferReader(part)).filter(pc.field("status") != ERROR)
    stream = io.BytesIO()
    pq.write_table(kept, stream, compression="zstd")
    return stream.getvalue() if kept.num_rows else b""


def _kept_csv(part: bytes) -> bytes:
    header, *rows = csv.reader(io.StringIO(part.decode(), newline=""))
    kept = [row for row in rows if row[header.index("status")] != ERROR]
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([header, *kept])
    return stream.getvalue().encode() if kept else b""


def _kept_jsonl(part: bytes) -> bytes:
    return b"".join(line for line in part.splitlines(keepends=True) if json.loads(line)["status"] != ERROR)


_ENCODERS: Final = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}
_READERS: Final = {"parquet": _read_parquet, "csv": _read_csv, "jsonl": _read_jsonl}
_KEEPERS: Final = {"parquet": _kept_parquet, "csv": _kept_csv, "jsonl": _kept_jsonl}
