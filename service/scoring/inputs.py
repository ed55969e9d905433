"""List the photographs of INPUT, one after the other, never all in memory."""

from __future__ import annotations

import glob
import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePath
from typing import Final

import pyarrow as pa
from pyarrow import fs

from service.errors import InvalidParameter
from service.inference.decoding.formats import SUFFIXES
from service.printable import as_utf8
from service.scoring.archive import AGREEMENT
from service.scoring.fit_prior import FILE as PRIOR
from service.scoring.folder import Entry, files_in, is_hidden
from service.scoring.job import UNREADABLE, Fault, Item
from service.scoring.parts import PREFIX
from service.scoring.report.page import REPORT
from service.scoring.storage import below, fingerprint, is_there, is_uri, located, open_bytes, parted
from service.scoring.tables import SUFFIX, Columns, is_table, items_in, rows_in

_OWN: Final = re.compile(
    rf"{PREFIX}[0-9a-f]{{24}}\.(?:parquet|csv|jsonl)|{re.escape(AGREEMENT)}|{re.escape(PRIOR)}|{re.escape(REPORT)}"
)
"""Names of what `agelens score` writes into its output folder."""


class Inputs:
    """Photographs that can be counted, and iterated over more than once."""

    def __init__(self, entries: Callable[[set[str]], Iterator[Entry]], columns: Columns) -> None:
        """Take a function that lists files and notes the folders of results that it leaves out; a table is its rows."""
        self._entries = entries
        self._columns = columns
        self.results: set[str] = set()
        """Folders with results of an earlier run, which are left out; complete once counted."""
        self.numbered: dict[str, str] = {}
        """Fingerprints of the tables whose rows are named by number; complete once counted."""
        self._wrong: dict[str, InvalidParameter] = {}

    def count(self) -> int:
        """Count the photographs without reading any; a table that cannot be read counts as one.

        Raises InvalidParameter if INPUT cannot be read, or is nothing but such tables.
        """
        total = 0
        self._wrong.clear()
        try:
            for entry in self._entries(self.results):
                try:
                    total += 1 if _is_one(entry) else self._rows(entry)
                except InvalidParameter as error:
                    self._wrong[entry.name] = error
        except OSError as error:
            raise InvalidParameter(f"INPUT cannot be read: {error}") from error
        if self._wrong and not total:
            raise next(iter(self._wrong.values()))
        return total + len(self._wrong)

    def _rows(self, entry: Entry) -> int:
        rows = rows_in(entry.where, self._columns)
        if self._columns.id is None:
            self.numbered[entry.name] = fingerprint(entry.where)
        return rows

    def __iter__(self) -> Iterator[Item]:
        """Yield the photographs; those of a folder come in the order of its file system.

        What cannot be read of a table is one failure of the table's name, and all of it if counting found so: its rows
        have no fingerprint. Raises InvalidParameter if INPUT cannot be read to its end.
        """
        try:
            for entry in self._entries(self.results):
                yield from self._items(entry)
        except (OSError, pa.ArrowException) as error:
            raise InvalidParameter(f"INPUT cannot be read to its end: {error}") from error

    def _items(self, entry: Entry) -> Iterator[Item]:
        if _is_one(entry):
            yield Item(entry.name, entry.where, fault=entry.fault)
            return
        try:
            if entry.name in self._wrong:
                raise self._wrong[entry.name]
            yield from items_in(entry.name, entry.where, self._columns)
        except InvalidParameter as error:
            yield Item(entry.name, None, fault=Fault(UNREADABLE, str(error)))


def open_inputs(text: str, skip: Path, columns: Columns | None = None) -> Inputs:
    """Find out what `text` is: a folder, a table, a picture, a text list, a URI or a pattern.

    Files in the folder `skip` are left out. Raises InvalidParameter if `text` is none of these, or is `skip`.
    """
    try:
        return Inputs(_entries(text, skip), columns or Columns())
    except OSError as error:  # as a name that is too long
        raise InvalidParameter(f"INPUT cannot be read: {error}") from error


def _entries(text: str, skip: Path) -> Callable[[set[str]], Iterator[Entry]]:
    path = Path(text)
    if not text:
        raise InvalidParameter("INPUT is empty; name a folder, file, pattern or URI, or . for the folder you are in")
    if is_uri(text):
        return lambda results: _without_results(_of_store(text), results)
    if path.is_dir():
        if path.resolve() == skip.resolve():
            raise InvalidParameter(f"--output is INPUT itself; name another folder, such as {path / 'ages'}")
        return lambda results: _without_results(files_in(path, _is_wanted, skip), results)
    if path.is_file():
        single = is_table(text) or path.suffix.lower() in SUFFIXES
        return lambda _: iter([Entry(as_utf8(path.name), text)]) if single else _of_list(text)
    if glob.has_magic(text):
        return lambda results: _without_results(_of_pattern(text), results)
    raise InvalidParameter(f"{text} is not a folder, file, pattern or URI; nothing can be scored")


def _is_one(entry: Entry) -> bool:
    """Whether an entry is one photograph and not a table of them."""
    return entry.fault is not None or not is_table(entry.where)


def _without_results(entries: Iterator[Entry], results: set[str]) -> Iterator[Entry]:
    """Leave out what an earlier run wrote, and note in which folders; photographs beside it are kept."""

    @cache
    def holds_results(folder: str) -> bool:
        return is_there(below(folder, AGREEMENT) if folder else AGREEMENT)

    for entry in entries:
        folder, name = parted(entry.where)
        if _OWN.fullmatch(name) and holds_results(folder):
            results.add(folder or ".")
        else:
            yield entry


def _of_pattern(pattern: str) -> Iterator[Entry]:
    for found in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - pathlib takes no absolute patterns
        if not Path(found).is_dir():
            yield Entry(as_utf8(found), found)


def _of_list(text: str) -> Iterator[Entry]:
    with open_bytes(text) as stream, io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape") as lines:
        for line in lines:
            if where := line.strip():
                yield Entry(as_utf8(where), where)


def _of_store(uri: str) -> Iterator[Entry]:
    root, path = located(uri)
    info = root.get_file_info(path.rstrip("/"))
    if info.type == fs.FileType.File:
        if is_table(uri) or _is_wanted(info.base_name):
            yield Entry(info.base_name, uri)
            return
        yield from _of_list(uri)
        return
    if info.type != fs.FileType.Directory:
        raise InvalidParameter(f"{uri} is not there; nothing can be scored")
    folders = [info.path]
    while folders:
        for found in root.get_file_info(fs.FileSelector(folders.pop())):
            if is_hidden(found.base_name):
                continue
            if found.type == fs.FileType.Directory:
                folders.append(found.path)
            elif _is_wanted(found.base_name):
                name = found.path.strip("/").removeprefix(info.path.strip("/")).lstrip("/")
                yield Entry(name, below(uri, name))


def _is_wanted(name: str) -> bool:
    """Whether a file in a folder is read; a CSV file there is not, since it may describe the pictures."""
    return PurePath(name).suffix.lower() in {SUFFIX, *SUFFIXES}
