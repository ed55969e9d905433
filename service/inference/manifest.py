"""What travels inside an ONNX file: how to cut its faces, its calibration and where it comes from."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from service.errors import InvalidModelFile
from service.inference.age_mix import mix_of
from service.inference.distribution import AGES, Floats, IntervalBand

SCHEMA_VERSION: Final = 1
METADATA_KEY: Final = "agelens"
INPUT_NAME: Final = "faces"
OUTPUT_NAME: Final = "age_pmf"


Exposure = Literal["as-is", "stretched"]


class CropSpec(BaseModel, frozen=True, extra="forbid"):
    """How a face is cut: a square of `1 + 2·margin` box widths around the box's centre, `size` pixels a side."""

    size: int = Field(ge=32, le=512)
    margin: float = Field(ge=0.0, le=1.0)
    alignment: Literal["eyes"] = "eyes"
    interpolation: Literal["bilinear-pyramid"] = "bilinear-pyramid"
    detector: Literal["blazeface-refined"] = "blazeface-refined"
    detector_threshold: float = Field(0.5, ge=0.0, le=1.0)
    exposure: Exposure = "as-is"
    """Whether a crop's values are spread over the whole range before the network sees it."""

    def geometry(self) -> dict[str, Any]:
        """Everything but size and exposure: what all models that are loaded together must share."""
        return self.model_dump(exclude={"size", "exposure"})


class IntervalTable(BaseModel, frozen=True, extra="forbid"):
    """One band of the conformal table; see `service.inference.distribution.IntervalBand`."""

    low: float
    high: float
    levels: tuple[float, ...]
    scores: tuple[float, ...]
    narrowest: float = 0.0
    widest: float | None = None
    """None: no bound."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if len(self.levels) != len(self.scores) or not self.levels:
            raise ValueError("levels and scores need the same length, at least one")
        if list(self.levels) != sorted(self.levels) or list(self.scores) != sorted(self.scores):
            raise ValueError("levels and scores must not decrease, or intervals would not be nested")
        return self

    def band(self) -> IntervalBand:
        """Return the same as a domain value."""
        widest = float("inf") if self.widest is None else self.widest
        return IntervalBand(self.low, self.high, self.levels, self.scores, self.narrowest, widest)


class Provenance(BaseModel, frozen=True, extra="forbid"):
    """Where a model comes from: recipe, data, pretrained weights, code revision and date."""

    recipe: str
    data: tuple[str, ...]
    initial_weights: str
    commit: str
    created: str


class Manifest(BaseModel, frozen=True, extra="forbid"):
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
    age_mix: tuple[float, ...]
    """Share of each age 0..100 among the faces that the probabilities are calibrated to."""
    provenance: Provenance
    licence: str
    metrics: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], where: str) -> Manifest:
        """Read the manifest out of an ONNX file's metadata; raise InvalidModelFile naming `where`."""
        text = metadata.get(METADATA_KEY)
        if text is None:
            raise InvalidModelFile(f"{where} carries no agelens manifest; export it with `agelens-train export`")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InvalidModelFile(
                f"{where}: manifest field {field or '(whole)'} is wrong: {first['msg']}; "
                "export it again with this version's `agelens-train export`"
            ) from error

    @field_validator("age_mix")
    @classmethod
    def _whole(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(shares) != AGES or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-3:
            raise ValueError(f"a mix of ages has {AGES} shares above 0 that sum to 1")
        return shares

    def mix(self) -> Floats:
        """Return the mix of ages that the probabilities are stated for, float64 [101]."""
        return mix_of(np.array(self.age_mix))

    def bands(self) -> tuple[IntervalBand, ...]:
        """Return the conformal table as domain values."""
        return tuple(table.band() for table in self.intervals)
