"""List the photographs of INPUT, one after the other, never all in memory."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import pyarrow as pa
from pyarrow import fs

from service.errors import InvalidParameter
from service.inference.decoding.formats import SUFFIXES
from service.printable import as_utf8
from service.scoring.job import UNREADABLE, Fault, Item
from service.scoring.storage import is_uri, located, open_bytes
from service.scoring.tables import SUFFIX, Columns, is_table, items_in, rows_in

Entry = tuple[str, str] | tuple[str, str, Fault]
"""Name in the output, and path or URI; and why it cannot be read, if that is known already."""


class Inputs:
    """Photographs that can be counted, and iterated over more than once."""

    def __init__(self, entries: Callable[[], Iterator[Entry]], columns: Columns) -> None:
        """Take a function that lists files; a table stands for its rows."""
        self._entries = entries
        self._columns = columns

    def count(self) -> int:
        """Count the photographs without reading any; raise InvalidParameter if INPUT cannot be read."""
        try:
            return sum(1 if fault or not is_table(where) else rows_in(where) for _, where, *fault in self._entries())
        except OSError as error:
            raise InvalidParameter(f"INPUT cannot be read: {error}") from error

    def __iter__(self) -> Iterator[Item]:
        """Yield the photographs; those of a folder come in the order of its file system.

        Raises InvalidParameter if INPUT cannot be read, or a table is damaged.
        """
        try:
            yield from self._items()
        except (OSError, pa.ArrowException) as error:
            raise InvalidParameter(f"INPUT cannot be read to its end: {error}") from error

    def _items(self) -> Iterator[Item]:
        for name, where, *fault in self._entries():
            if fault or not is_table(where):
                yield Item(name, where, fault=fault[0] if fault else None)
            else:
                yield from items_in(name, where, self._columns)


def open_inputs(text: str, skip: Path, columns: Columns | None = None) -> Inputs:
    """Find out what `text` is: a folder, a table, a picture, a text list, a URI or a pattern.

    Files in the folder `skip` are left out. Raises InvalidParameter if `text` is none of these.
    """
    try:
        return Inputs(_entries(text, skip), columns or Columns())
    except OSError as error:  # as a name that is too long
        raise InvalidParameter(f"INPUT cannot be read: {error}") from error


def _entries(text: str, skip: Path) -> Callable[[], Iterator[Entry]]:
    path = Path(text)
    if is_uri(text):
        return lambda: _of_store(text)
    if path.is_dir():
        return lambda: _of_folder(path, skip)
    if path.is_file():
        single = is_table(text) or path.suffix.lower() in SUFFIXES
        return (lambda: iter([(path.name, text)])) if single else (lambda: _of_list(text))
    if glob.has_magic(text):
        return lambda: _of_pattern(text)
    raise InvalidParameter(f"{text} is not a folder, file, pattern or URI; nothing can be scored")


def _of_folder(root: Path, skip: Path) -> Iterator[Entry]:
    """Walk with scandir and without sorting, so that a folder of a million files needs no memory for them."""
    skipped = skip.resolve()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        try:
            found = os.scandir(folder)
        except OSError as error:
            if folder == str(root):
                raise
            yield as_utf8(os.path.relpath(folder, root)), folder, Fault(UNREADABLE, error.strerror or str(error))
            continue
        with found:
            for entry in found:
                if _is_hidden(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if Path(entry.path).resolve() != skipped:
                        waiting.append(entry.path)
                    continue
                name = as_utf8(os.path.relpath(entry.path, root))
                if Path(entry.path).is_dir():
                    yield name, entry.path, Fault("folder-link", "a link to a folder, which is not followed")
                elif _is_wanted(entry.name):
                    yield name, entry.path


def _of_pattern(pattern: str) -> Iterator[Entry]:
    for found in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - pathlib takes no absolute patterns
        if not Path(found).is_dir():
            yield as_utf8(found), found


def _of_list(text: str) -> Iterator[Entry]:
    with open_bytes(text) as stream, io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape") as lines:
        for line in lines:
            if where := line.strip():
                yield as_utf8(where), where


def _of_store(uri: str) -> Iterator[Entry]:
    root, path = located(uri)
    info = root.get_file_info(path.rstrip("/"))
    if info.type == fs.FileType.File:
        if is_table(uri) or _is_wanted(info.base_name):
            yield info.base_name, uri
            return
        yield from _of_list(uri)
        return
    if info.type != fs.FileType.Directory:
        raise InvalidParameter(f"{uri} is not there; nothing can be scored")
    base = uri.rstrip("/")
    folders = [info.path]
    while folders:
        for found in root.get_file_info(fs.FileSelector(folders.pop())):
            if _is_hidden(found.base_name):
                continue
            if found.type == fs.FileType.Directory:
                folders.append(found.path)
            elif _is_wanted(found.base_name):
                name = found.path.strip("/").removeprefix(info.path.strip("/")).lstrip("/")
                yield name, f"{base}/{name}"


def _is_wanted(name: str) -> bool:
    """Whether a file in a folder is read; a CSV file there is not, since it may describe the pictures."""
    return PurePath(name).suffix.lower() in {SUFFIX, *SUFFIXES}


def _is_hidden(name: str) -> bool:
    """Whether a file is a program's own: thumbnails, trash, virtual environments."""
    return name.startswith(".")
