"""What travels inside an ONNX file (`Manifest`), and which files to trust (`ModelLock`)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import ContractBroken, FileAltered, FileMissing
from service.types import AGES, IntervalBand

SCHEMA_VERSION: Final = 1
METADATA_KEY: Final = "agelens"
INPUT_NAME: Final = "faces"
OUTPUT_NAME: Final = "age_pmf"
LOCK_NAME: Final = "models.lock.json"

Kind = Literal["detector", "model", "proposals"]
"""What a locked file is: a face detector's network, an age model, or what proposes small faces."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CropSpec(_Frozen):
    """How a face is cut: a square of `1 + 2·margin` box widths around the box's centre, `size` pixels a side."""

    size: int = Field(ge=32, le=512)
    margin: float = Field(ge=0.0, le=1.0)
    alignment: Literal["eyes", "none"] = "eyes"
    interpolation: Literal["bilinear-pyramid"] = "bilinear-pyramid"
    detector: Literal["blazeface-refined"] = "blazeface-refined"
    detector_threshold: float = Field(0.5, ge=0.0, le=1.0)

    def geometry(self) -> dict[str, Any]:
        """Everything but the size: what all models that are loaded together must share."""
        return self.model_dump(exclude={"size"})


class IntervalTable(_Frozen):
    """One band of the conformal table; see `service.types.IntervalBand`."""

    low: float
    high: float
    levels: tuple[float, ...]
    scores: tuple[float, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if len(self.levels) != len(self.scores) or not self.levels:
            raise ValueError("levels and scores need the same length, at least one")
        if list(self.levels) != sorted(self.levels) or list(self.scores) != sorted(self.scores):
            raise ValueError("levels and scores must not decrease, or intervals would not be nested")
        return self

    def band(self) -> IntervalBand:
        """Return the same as a domain value."""
        return IntervalBand(self.low, self.high, self.levels, self.scores)


class Provenance(_Frozen):
    """Where a model comes from: recipe, data, pretrained weights, code revision and date."""

    recipe: str
    data: tuple[str, ...]
    initial_weights: str
    commit: str
    created: str


class Manifest(_Frozen):
    """Everything the service must know of a model; JSON in the ONNX metadata under the key `agelens`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    family: str
    precision: Literal["float32", "float16", "int8"] = "float32"
    ages: Literal[101] = AGES
    decode: Literal["median", "mean"] = "median"
    flip: bool = False
    """The file itself answers with the mean over the face and its mirror image."""
    crop: CropSpec
    intervals: tuple[IntervalTable, ...] = ()
    provenance: Provenance
    licence: str
    metrics: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], where: str) -> Manifest:
        """Read the manifest out of an ONNX file's metadata; raise ContractBroken naming `where`."""
        text = metadata.get(METADATA_KEY)
        if text is None:
            raise ContractBroken(f"{where} carries no agelens manifest; export it with `agelens-train export`")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ContractBroken(
                f"{where}: manifest field {field or '(whole)'} is wrong: {first['msg']}; "
                "export it again with this version's `agelens-train export`"
            ) from error

    def bands(self) -> tuple[IntervalBand, ...]:
        """Return the conformal table as domain values."""
        return tuple(table.band() for table in self.intervals)


class LockEntry(_Frozen):
    """One trusted file: its bytes, its source, and whether the service loads it by default."""

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: Kind
    size: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    source: str
    member: str | None = None
    archive_sha256: str | None = None
    default: bool = False
    licence: str | None = None


class ModelLock(_Frozen):
    """`models.lock.json`: which bytes to trust."""

    files: tuple[LockEntry, ...]

    @classmethod
    def read(cls, folder: Path) -> ModelLock:
        """Read the lock of `folder`; raise FileMissing or ContractBroken."""
        path = folder / LOCK_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise FileMissing(
                f"{LOCK_NAME} is not in the models folder; set AGELENS_MODELS_DIR to a folder that has one"
            ) from error
        except ValidationError as error:
            raise ContractBroken(f"{LOCK_NAME} is not valid: {error.errors()[0]['msg']}") from error

    def write(self, folder: Path) -> None:
        """Write the lock into `folder`, sorted by file name."""
        ordered = ModelLock(files=tuple(sorted(self.files, key=lambda entry: entry.file)))
        text = json.dumps(ordered.model_dump(exclude_none=True), indent=2) + "\n"
        (folder / LOCK_NAME).write_text(text)

    def of_kind(self, kind: Kind) -> tuple[LockEntry, ...]:
        """Return the entries of one kind, in file order."""
        return tuple(entry for entry in self.files if entry.kind == kind)


def verified_path(folder: Path, entry: LockEntry) -> Path:
    """Return the path of a locked file after checking size and sha256; raise FileMissing or FileAltered."""
    path = folder / entry.file
    remedy = "run `make setup`" if entry.kind == "detector" else "run `git checkout models`, or export the model again"
    if not path.is_file():
        raise FileMissing(f"{entry.file} is missing from the models folder; {remedy}")
    if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
        raise FileAltered(f"{entry.file} differs from its sha256 in {LOCK_NAME}; delete it and {remedy}")
    return path


def sha256_of(path: Path) -> str:
    """Return the file's sha256 as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
