"""Keeps what native libraries write to standard error off a person's terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def without_native_noise() -> Iterator[TextIO]:
    """Silence file descriptor 2, to which mediapipe logs below Python's reach; yield the terminal it was."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere, os.fdopen(os.dup(kept), "w") as terminal:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield terminal
        finally:
            os.dup2(kept, 2)
            os.close(kept)
