"""Bytes of photographs from disks and object stores; those of a store are fetched ahead."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import fs

from service.errors import InvalidParameter
from service.scoring.folder import check_size, read_file
from service.scoring.job import Fault, Item

_AHEAD: Final = 8


def is_uri(where: str) -> bool:
    """Whether this is a URI, as s3://bucket/key, and not a path."""
    return "://" in where


def located(uri: str) -> tuple[fs.FileSystem, str]:
    """Return a URI's file system and the path in it; pyarrow's own if it has one, else fsspec's.

    Raises InvalidParameter if neither knows the scheme, or a package that fsspec needs for it is missing.
    """
    scheme, _, rest = uri.partition("://")
    try:
        root, path = fs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid:
        return _by_fsspec(scheme), rest
    return root, path


def open_bytes(where: str) -> Any:
    """Open a path or URI to read its bytes, from any place in it; raise OSError or ArrowException."""
    if is_uri(where):
        root, path = located(where)
        return root.open_input_file(path)
    try:
        return pa.OSFile(where, "rb")
    except UnicodeEncodeError:  # pyarrow takes no such names, and its threads must not outlive a file of Python's
        with Path(where).open("rb") as opened:
            return pa.OSFile(f"/dev/fd/{opened.fileno()}", "rb")


def is_there(where: str) -> bool:
    """Whether there is a file of this path or URI."""
    if not is_uri(where):
        return Path(where).is_file()
    root, path = located(where)
    return bool(root.get_file_info(path).type == fs.FileType.File)


def pictures(items: Sequence[Item]) -> Iterator[tuple[Item, bytes | OSError | Fault]]:
    """Yield each item with its bytes, or with what kept them from being read; a few are read ahead from a store."""
    if not any(item.path and is_uri(item.path) for item in items):
        yield from ((item, _read(item)) for item in items)
        return
    with ThreadPoolExecutor(_AHEAD) as readers:
        ahead: deque[tuple[Item, Future[bytes | OSError | Fault]]] = deque()
        for item in items:
            ahead.append((item, readers.submit(_read, item)))
            if len(ahead) > _AHEAD:
                first, reading = ahead.popleft()
                yield first, reading.result()
        yield from ((item, reading.result()) for item, reading in ahead)


def _read(item: Item) -> bytes | OSError | Fault:
    if item.fault:
        return item.fault
    try:
        if item.path is None:
            return item.data or b""
        return _read_uri(item.path) if is_uri(item.path) else read_file(Path(item.path))
    except OSError as error:
        return error
    except Exception as error:  # a scheme that nobody knows, a path with a null character, a store's own types
        return OSError(errno.EINVAL, str(error))


def _read_uri(uri: str) -> bytes:
    root, path = located(uri)
    with root.open_input_file(path) as stream:
        check_size(stream.size())
        return stream.read()


@cache
def _by_fsspec(scheme: str) -> fs.FileSystem:
    import fsspec

    try:
        handler: Any = fs.FSSpecHandler  # complete, though the stubs call it abstract
        return fs.PyFileSystem(handler(fsspec.filesystem(scheme)))
    except Exception as error:  # each store's package has types of its own
        raise InvalidParameter(f"{scheme}:// cannot be read: {error}") from error
