"""Bytes of photographs from disks and object stores; those of a store are fetched ahead."""

from __future__ import annotations

import errno
import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import pyarrow as pa
from pyarrow import fs

from service.errors import InvalidParameter
from service.scoring.folder import check_size, read_file
from service.scoring.job import Fault, Item

_AHEAD: Final = 8
_DIGESTED: Final = 16 * 2**20
"""Most bytes that are read to tell whether a file is another than before."""
_PARSED: Final = "%/?&=:;@!$'()*+,"
"""What has a meaning in a URI, or may stand there as it is; blanks and letters beyond ASCII are escaped for pyarrow."""


def is_uri(where: str) -> bool:
    """Whether this is a URI, as s3://bucket/key, and not a path."""
    return "://" in where


def located(uri: str) -> tuple[fs.FileSystem, str]:
    """Return a URI's file system and the path in it; pyarrow's own if it knows the scheme, else fsspec's.

    Raises InvalidParameter if neither knows the scheme, a package that fsspec needs for it is missing, or pyarrow knows
    the scheme and cannot parse the URI.
    """
    scheme, _, rest = uri.partition("://")
    if not _is_of_pyarrow(scheme):
        return _by_fsspec(scheme), rest
    host, slash, path = rest.partition("/")
    wrong: object = "it has a #"
    if "#" not in rest:
        try:
            root, path = fs.FileSystem.from_uri(f"{scheme}://{host}{slash}{quote(path, _PARSED)}")
        except pa.ArrowInvalid as error:
            wrong = error
        else:
            return root, path
    raise InvalidParameter(
        f"the address {uri} cannot be used: {wrong}; in a name, write # as %23, % as %25 and ? as %3F"
    )


def parted(where: str) -> tuple[str, str]:
    """Return the folder of a path or URI, which is one as well, and the name in it without escapes."""
    path, query, has_escapes = _read_as(where)
    folder, _, name = path.rpartition("/")
    return folder + query, unquote(name) if has_escapes else name


def below(folder: str, name: str) -> str:
    """Return the path or URI of what is called `name`, which may have slashes, in a folder; the reverse of `parted`."""
    path, query, has_escapes = _read_as(folder)
    scheme, mark, rest = path.rpartition("://")
    return f"{scheme}{mark}{rest.rstrip('/')}/{quote(name) if has_escapes else name}{query}"


def is_below(folder: str, uri: str) -> bool:
    """Whether a URI lies in the folder of another one, of the same store."""
    (base, store, _), (path, query, _) = _read_as(folder), _read_as(uri)
    inside = path.removeprefix(f"{base}/")
    return inside != path and query == store and ".." not in unquote(inside).split("/")


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


def fingerprint(where: str) -> str:
    """Return a text that is another once a file has other content; raise OSError or ArrowException.

    Of more than 16 MiB only the end is read, where Parquet has its index; the time of the last change is in it then.
    """
    with open_bytes(where) as stream:
        size = stream.size()
        stream.seek(max(0, size - _DIGESTED))
        told = f"{size} bytes, sha256 {hashlib.sha256(stream.read()).hexdigest()}"
    if size <= _DIGESTED:
        return told
    if not is_uri(where):
        return f"{told}, changed {Path(where).stat().st_mtime_ns}"
    root, path = located(where)
    return f"{told}, changed {root.get_file_info(path).mtime_ns}"


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


def _read_as(where: str) -> tuple[str, str, bool]:
    """Return the path of a path or URI, the query behind it, and whether names in it have escapes.

    Only what pyarrow reads has a query or escapes.
    """
    if not is_uri(where) or not _is_of_pyarrow(where.partition("://")[0]):
        return where, "", False
    path, mark, query = where.partition("?")
    return path, mark + query, True


@cache
def _is_of_pyarrow(scheme: str) -> bool:
    try:
        fs.FileSystem.from_uri(f"{scheme}://")
    except pa.ArrowInvalid as error:
        return "Unrecognized filesystem type" not in str(error)
    except OSError:  # it lacks a library
        return True
    return True


@cache
def _by_fsspec(scheme: str) -> fs.FileSystem:
    import fsspec

    try:
        handler: Any = fs.FSSpecHandler  # complete, though the stubs call it abstract
        return fs.PyFileSystem(handler(fsspec.filesystem(scheme)))
    except Exception as error:  # each store's package has types of its own
        raise InvalidParameter(f"{scheme}:// cannot be read: {error}") from error
