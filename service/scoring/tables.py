"""Photographs in tables: a column of bytes in a Parquet file, or one of paths and URIs in that or in a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from service.errors import InvalidParameter
from service.inference.decoding.formats import SUFFIXES
from service.scoring.csv_table import BEYOND, CSV_SUFFIX, csv_columns, csv_records
from service.scoring.job import UNREADABLE, Fault, Item
from service.scoring.storage import below, is_below, is_uri, open_bytes, parted

SUFFIX: Final = ".parquet"
_ROWS_AT_ONCE: Final = 32
_PATHS: Final = ("path", "file", "filename", "uri", "url")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table hold the photograph and its id; found by type and name if not given.

    With `any_path`, paths may lie outside the table's folder.
    """

    picture: str | None = None
    id: str | None = None
    any_path: bool = False


def is_table(where: str) -> bool:
    """Whether a file's name is that of a table."""
    return parted(where)[1].lower().endswith((SUFFIX, CSV_SUFFIX))


def rows_in(where: str, columns: Columns) -> int:
    """Return the number of a table's rows; raise InvalidParameter as `items_in` does."""
    if _is_csv(where):
        _csv_columns(where, columns)
        return sum(1 for _ in csv_records(where))
    with _opened(where) as table:
        _parquet_columns(table.schema_arrow, where, columns)
        return int(table.metadata.num_rows)


def items_in(name: str, where: str, columns: Columns) -> Iterator[Item]:
    """Yield the photographs of a table, named by its id column or else `name#row`, a few rows in memory.

    Raises InvalidParameter if it cannot be read, a column is missing, or several may hold the photographs.
    """
    if _is_csv(where):
        picture, *_ = _csv_columns(where, columns)
        yield from _items(name, where, csv_records(where), picture, columns)
        return
    with _opened(where) as table:
        picture, *others = _parquet_columns(table.schema_arrow, where, columns)
        batches = table.iter_batches(_ROWS_AT_ONCE, columns=[picture, *others])
        yield from _items(name, where, _records(batches), picture, columns)


def _csv_columns(where: str, columns: Columns) -> list[str]:
    names = csv_columns(where)
    picture = columns.picture or _csv_picture_column(names, where)
    return _refuse_missing([picture, columns.id], names, where)


def _parquet_columns(found: pa.Schema, where: str, columns: Columns) -> list[str]:
    picture = columns.picture or _picture_column(found, where)
    wanted = _refuse_missing([picture, columns.id], found.names, where)
    _refuse_unfit(found.field(picture).type, picture, where)
    return wanted


def _records(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yield the rows; a cell that cannot be read is the fault that says so."""
    for batch in batches:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        yield from ({name: _cell(cells[row]) for name, cells in columns.items()} for row in range(batch.num_rows))


def _cell(value: Any) -> Any:
    try:
        if isinstance(value, pa.StructScalar) and value.is_valid:
            return {name: _cell(member) for name, member in value.items()}
        return value.as_py()
    except (ValueError, OverflowError) as error:  # text that is not UTF-8, a date in the year 300,000
        return Fault(UNREADABLE, f"the cell cannot be read: {error}")


def _refuse_missing(wanted: list[str | None], names: list[str], where: str) -> list[str]:
    """Return the columns that are wanted; raise InvalidParameter if the table does not have one, or has it twice."""
    named = [column for column in wanted if column]
    missing = [column for column in named if column not in names]
    if missing:
        raise InvalidParameter(f"{where} has no column {missing[0]}; it has {', '.join(names)}")
    for column in named:
        if names.count(column) > 1:
            raise InvalidParameter(f"{where} has {names.count(column)} columns named {column}; rename one")
    return named


def _refuse_unfit(held: pa.DataType, column: str, where: str) -> None:
    """Raise InvalidParameter if a column can hold neither photographs nor paths."""
    kind = held.value_type if isinstance(held, pa.DictionaryType) else held
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_struct)
    if not _holds_bytes(kind) and not any(fits(kind) for fits in texts):
        raise InvalidParameter(
            f"{where}: the column {column} holds {held}, neither photographs nor paths; name another with --column"
        )


_TOO_LONG: Final = Item(
    "", None, fault=Fault("malformed-row", "the row has more cells than the header; quote what has a comma in it")
)
"""A CSV row whose path may have been cut at its comma: what is left can be the name of another photograph."""


def _items(name: str, where: str, records: Iterator[dict[str, Any]], picture: str, columns: Columns) -> Iterator[Item]:
    for row, record in enumerate(records):
        place = f"{name}#{row}"
        item = (
            _TOO_LONG
            if any(map(str.strip, record.get(BEYOND, ())))
            else _item(record[picture], where, columns.any_path)
        )
        named = item._replace(id=place, place=place)
        yield _with_id(named, record[columns.id]) if columns.id else named


def _with_id(item: Item, ident: Any) -> Item:
    if isinstance(ident, Fault):
        return item._replace(fault=Fault("missing-id", f"the row has no id: {ident.detail}"))
    if ident is None or ident != ident or not str(ident).strip():
        return item._replace(fault=Fault("missing-id", "the row has no id"))
    return item._replace(id=str(ident))


def _item(value: Any, where: str, any_path: bool) -> Item:
    """Return the photograph of a cell: bytes, or a path relative to the table's folder."""
    if isinstance(value, dict):  # the layout of image data sets: bytes, or else a path
        value = value.get("bytes") or value.get("path")
    if isinstance(value, Fault):
        return Item("", None, fault=value)
    if value is None or value == "":
        return Item("", None, fault=Fault("missing-picture", "the row has no photograph"))
    if isinstance(value, bytes):
        return Item("", None, value)
    if not isinstance(value, str):
        return Item(
            "", None, fault=Fault(UNREADABLE, f"the cell holds {type(value).__name__}, neither a photograph nor a path")
        )
    base = parted(where)[0] if is_uri(where) else str(Path(where).parent)
    path = value if is_uri(value) or value.startswith("/") else below(base, value)
    if any_path or _is_below(base, path):
        return Item("", path)
    detail = f"{value} is outside the table's folder; --allow-any-path allows that"
    return Item("", None, fault=Fault("path-outside", detail))


def _is_below(base: str, path: str) -> bool:
    """Whether a path, all links followed, or a URI lies in the folder `base`."""
    if is_uri(base):
        return is_below(base, path)
    if is_uri(path):
        return False
    try:
        return Path(path).resolve().is_relative_to(Path(base).resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a null character: reading it says so
        return True


def _picture_column(columns: pa.Schema, where: str) -> str:
    bytes_ = [column.name for column in columns if _holds_bytes(column.type)]
    return bytes_[0] if len(bytes_) == 1 else _path_column(columns.names, where)


def _csv_picture_column(names: list[str], where: str) -> str:
    for name in names:
        if PurePath(name).suffix.lower() in SUFFIXES:
            raise InvalidParameter(
                f"{where}: the first line of a CSV table names its columns, and {name} looks like a photograph; write "
                "`path` above it, or call the file .txt if it is a list of paths"
            )
    return names[0] if len(names) == 1 else _path_column(names, where)


def _path_column(names: list[str], where: str) -> str:
    paths = [name for name in names if name.lower() in _PATHS]
    if len(paths) == 1:
        return paths[0]
    raise InvalidParameter(
        f"{where}: which column holds the photographs? Name it with --column; there are {', '.join(names)}"
    )


def _is_csv(where: str) -> bool:
    return parted(where)[1].lower().endswith(CSV_SUFFIX)


def _holds_bytes(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.StructType):
        return any(member.name == "bytes" and _holds_bytes(member.type) for member in kind.fields)
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(fits(kind) for fits in kinds)


@contextmanager
def _opened(where: str) -> Iterator[pq.ParquetFile]:
    try:
        with open_bytes(where) as stream, pq.ParquetFile(stream) as table:
            yield table
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise InvalidParameter(f"{where} cannot be read as Parquet: {error}") from error
