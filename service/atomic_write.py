"""Write files atomically: a reader finds the old content or all of the new, never a part."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PARTIAL: Final = ".partial."
"""What an unfinished file's name begins with: hidden, so that readers of whole folders pass it over.

Its ending stays, since some libraries insist on theirs.
"""


@contextmanager
def atomic_write(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; when the block ends, force it to disk and rename it to `path`.

    If the block or the disk fails, the unfinished file is removed, `path` is as it was, and the error goes on.
    With `shared`, several processes may write `path` at once, each to an unfinished file of its own; otherwise the
    file that a killed process left behind is overwritten by the next one.
    """
    own = f"{secrets.token_hex(4)}." if shared else ""
    partial = path.with_name(f"{PARTIAL}{own}{path.name}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
