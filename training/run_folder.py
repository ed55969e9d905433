"""Names of the files in a run's folder, and how one is replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from service.atomic_write import atomic_write
from service.errors import InvalidParameter
from training.errors import CheckpointNotWritten

CHECKPOINT: Final = "checkpoint.npz"
PREVIOUS: Final = "checkpoint.previous.npz"
BEST: Final = "best.weights.h5"

UNBLENDED: Final = "unblended.weights.h5"
"""The best weights before `start_share` was applied; not there where `BEST` is newer."""

METRICS: Final = "metrics.csv"
TENSORBOARD: Final = "tensorboard"
"""A file of figures by step, and a folder."""

RUN_FILE: Final = "run.json"
"""Stores and time of a run, which resuming needs besides the recipe."""


def refuse_run_in(folder: Path) -> None:
    """Raise InvalidParameter where a folder holds a run, or the weights of one."""
    if any((folder / file).exists() for file in (RUN_FILE, CHECKPOINT, BEST)):
        raise InvalidParameter(f"{folder} holds a run already, which would be written over: choose another --run")


def replace_file(path: Path, write: Callable[[Path], None], keep: Path | None = None) -> None:
    """Write a file beside `path`, force it to disk, then rename it over; the old one may be kept as `keep`.

    Raises CheckpointNotWritten; `path` then still holds what it held.
    """
    try:
        with atomic_write(path) as partial:
            write(partial)
            if keep is not None and path.exists():
                keep.unlink(missing_ok=True)
                os.link(path, keep)
    except OSError as error:
        raise CheckpointNotWritten(
            f"{path} could not be written ({error.strerror or error}); the previous file is intact: "
            "free some space or fix the folder, then resume with --resume"
        ) from error
