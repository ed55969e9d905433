"""Files on a disk: those below a folder, with what cannot be gone through named, and the bytes of one."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from service.printable import as_utf8
from service.scoring.job import UNREADABLE, Fault

MAX_FILE_BYTES: Final = 256 * 2**20


class Entry(NamedTuple):
    """A file: its name in the output, and its path or URI; and why it cannot be read, if that is known already."""

    name: str
    where: str
    fault: Fault | None = None


def files_in(root: Path, is_wanted: Callable[[str], bool], skip: Path | None = None) -> Iterator[Entry]:
    """Yield the files whose names are wanted, named from `root`; leave out the folder `skip` and what is hidden.

    Goes with scandir and without sorting, so that a folder of a million files needs no memory for them. Raises OSError
    if `root` cannot be read.
    """
    skipped = skip and skip.resolve()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        try:
            found = os.scandir(folder)
        except OSError as error:
            if folder == str(root):
                raise
            reason = Fault(UNREADABLE, error.strerror or str(error))
            yield Entry(as_utf8(os.path.relpath(folder, root)), folder, reason)
            continue
        with found:
            for entry in found:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if Path(entry.path).resolve() != skipped:
                        waiting.append(entry.path)
                    continue
                name = as_utf8(os.path.relpath(entry.path, root))
                if Path(entry.path).is_dir():
                    yield Entry(name, entry.path, Fault("folder-link", "a link to a folder, which is not followed"))
                elif is_wanted(entry.name):
                    yield Entry(name, entry.path)


def is_hidden(name: str) -> bool:
    """Whether a file is a program's own: thumbnails, trash, virtual environments."""
    return name.startswith(".")


def read_file(path: Path) -> bytes:
    """Return the bytes of a file; raise OSError, also for a pipe, which could keep its reader waiting for ever."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    check_size(found.st_size)
    return path.read_bytes()


def check_size(size: int) -> None:
    """Raise OSError if a file has more bytes than are read."""
    if size > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"a file of {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
