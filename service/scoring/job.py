"""What is to be scored and how: the part of it that every worker needs, and the units that work comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from service.inference.options import PredictOptions

if TYPE_CHECKING:  # the command line knows formats and engines without the pipeline's libraries
    from service.inference.pipeline import Pipeline

Format = Literal["parquet", "csv", "jsonl"]
EngineName = Literal["processes", "threads", "ray"]


@dataclass(frozen=True, slots=True)
class Job:
    """Where the parts go, how they are written, and what is asked of each photograph."""

    output: Path
    format: Format = "parquet"
    options: PredictOptions = field(default_factory=PredictOptions)
    models_dir: Path | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    max_pixels: int = 50_000_000


OpenPipeline = Callable[[Job], "Pipeline"]


class Item(NamedTuple):
    """One photograph: its name in the output, and its path or URI or, where those are None, its bytes."""

    id: str
    path: str | None
    data: bytes | None = None


class Chunk(TypedDict):
    """The unit of work and of resuming: photographs that become one part. Columns, so that Ray can carry it."""

    part: str
    ids: list[str]
    paths: list[str | None]
    data: list[bytes | None]


class Tally(TypedDict):
    """What became of a chunk."""

    part: str
    pictures: int
    faces: int
    empty: int
    failures: int
