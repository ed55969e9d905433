"""The bytes of a file on a disk that is named as a photograph."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 256 * 2**20


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
