"""The models folder and its `models.lock.json`: which files to trust."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from service.errors import ChecksumMismatch, FileMissing, InvalidModelFile

_PACKAGE = Path(__file__).parents[1]
_CARRIED = "_models"  # the folder in the package that a wheel carries


def default_models_dir() -> Path:
    """Return the folder that the wheel carries, or `models/` of the checkout."""
    carried = _PACKAGE / _CARRIED
    return carried if carried.is_dir() else _PACKAGE.parent / "models"


LOCK_NAME: Final = "models.lock.json"

Kind = Literal["detector", "model", "proposals", "sample"]
"""What a locked file is: a face detector's network, an age model, what proposes small faces, or a photograph to try."""


class LockEntry(BaseModel, frozen=True, extra="forbid"):
    """One trusted file: its bytes, its source, and whether the service loads it by default.

    `answers` marks the model that answers requests which name none; where none is marked, the first by name does.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: Kind
    size: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    source: str
    member: str | None = None
    archive_sha256: str | None = None
    default: bool = False
    answers: bool = False
    licence: str | None = None
    error_years: float | None = Field(None, ge=0)
    """Mean absolute error when it was last measured; the metrics in the file are of the day it was exported."""


class ModelLock(BaseModel, frozen=True, extra="forbid"):
    """`models.lock.json`: which bytes to trust."""

    files: tuple[LockEntry, ...]

    @field_validator("files")
    @classmethod
    def _one_answers(cls, files: tuple[LockEntry, ...]) -> tuple[LockEntry, ...]:
        answering = [entry.file for entry in files if entry.answers]
        if len(answering) > 1:
            raise ValueError(f"one model answers by default, not {', '.join(answering)}")
        if any(not entry.default or entry.kind != "model" for entry in files if entry.answers):
            raise ValueError(f"{answering[0]} answers by default, so it must be a model with default true")
        return files

    @classmethod
    def read(cls, folder: Path) -> ModelLock:
        """Read the lock of `folder`; raise FileMissing or InvalidModelFile."""
        path = folder / LOCK_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise FileMissing(
                f"{LOCK_NAME} is not in the models folder {folder}; name a folder that has one "
                "(in the service: AGELENS_MODELS_DIR)"
            ) from error
        except OSError as error:
            raise FileMissing(f"{LOCK_NAME} in the models folder cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise InvalidModelFile(f"{LOCK_NAME} is not valid: {error.errors()[0]['msg']}") from error

    def write(self, folder: Path) -> None:
        """Write the lock into `folder`, sorted by file name, without what is as by default."""
        ordered = ModelLock(files=tuple(sorted(self.files, key=lambda entry: entry.file)))
        (folder / LOCK_NAME).write_text(json.dumps(ordered.model_dump(exclude_defaults=True), indent=2) + "\n")

    def of_kind(self, kind: Kind) -> tuple[LockEntry, ...]:
        """Return the entries of one kind, the model that answers by default first, then in file order."""
        found = (entry for entry in self.files if entry.kind == kind)
        return tuple(sorted(found, key=lambda entry: not entry.answers))


def verified_path(folder: Path, entry: LockEntry) -> Path:
    """Return the path of a locked file after checking size and sha256; raise FileMissing or ChecksumMismatch."""
    path = folder / entry.file
    fetched = entry.kind in ("detector", "sample")
    set_up = "build the wheel again, after `make setup`" if folder.name == _CARRIED else "run `make setup`"
    remedy = set_up if fetched else "run `git checkout models`, or export the model again"
    if not path.is_file():
        raise FileMissing(f"{entry.file} is missing from the models folder; {remedy}")
    if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
        raise ChecksumMismatch(f"{entry.file} differs from its sha256 in {LOCK_NAME}; delete it and {remedy}")
    return path


def sha256_of(path: Path) -> str:
    """Return the file's sha256 as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
