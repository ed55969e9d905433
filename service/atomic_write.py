"""Write a file so that its name holds either what it held before or all of the new content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PARTIAL: Final = "partial."
"""What an unfinished file's name begins with; its ending stays, since some libraries insist on theirs."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; when the block ends, force it to disk and rename it to `path`.

    Where the block or the disk fails, the unfinished file is removed, `path` is as it was, and the error goes on.
    """
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
