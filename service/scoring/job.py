"""What is to be scored and how: the part of it that every worker needs, and the units that work comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict

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
    priors: tuple[str, ...] = ()
    """Mixes of ages that the options may name, as the settings have them."""
    detector: Literal["onnxruntime", "mediapipe"] = "onnxruntime"
    max_views: int | None = None
    """Most views that a picture is searched in; None: the detector's default."""


OpenPipeline = Callable[[Job], "Pipeline"]


class Item(NamedTuple):
    """One photograph: its name in the output, and its path or URI or, where those are None, its bytes.

    With a `fault`, the reason and its text, it is not read but written down as a failure. `place` names it where its
    id has been given to another one already.
    """

    id: str
    path: str | None
    data: bytes | None = None
    fault: Fault | None = None
    place: str | None = None


class Fault(NamedTuple):
    """Why a photograph cannot be scored: the reason in a word, and its text."""

    reason: str
    detail: str


UNREADABLE: Final = "unreadable"
NOT_SCORED: Final = (UNREADABLE, "missing-id", "repeated-id", "path-outside", "folder-link")
"""Reasons that do not lie in a picture, but in what INPUT says: `score` ends with a status of its own for them."""


class Chunk(TypedDict):
    """The unit of work and of resuming: photographs that become one part. Columns, so that Ray can carry it."""

    part: str
    ids: list[str]
    paths: list[str | None]
    data: list[bytes | None]
    faults: list[list[str] | None]


class Tally(TypedDict):
    """What became of a chunk."""

    part: str
    pictures: int
    faces: int
    empty: int
    failures: int
