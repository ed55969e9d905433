"""What to score and how: the job that every worker is given, and the units of work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict

from service.inference.options import PredictOptions
from service.settings import Settings

if TYPE_CHECKING:  # the command line knows formats and engines without the pipeline's libraries
    from service.inference.pipeline import Pipeline

Format = Literal["parquet", "csv", "jsonl"]
EngineName = Literal["processes", "threads", "ray"]


OpenPipeline = Callable[[Settings, PredictOptions], "Pipeline"]


@dataclass(frozen=True, slots=True)
class Job:
    """Where the parts go, how they are written, and what is asked of each photograph. Travels to other processes."""

    output: Path
    settings: Settings
    open_pipeline: OpenPipeline
    """Each worker calls it once with the settings and the options."""
    options: PredictOptions = field(default_factory=PredictOptions)
    format: Format = "parquet"


class Item(NamedTuple):
    """One photograph: its name in the output, and its path or URI or, if that is None, its bytes.

    With a `fault` it is not read but recorded as a failure; `place` names it if its id is taken.
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
NOT_SCORED: Final = (
    UNREADABLE,
    "missing-id",
    "missing-picture",
    "repeated-id",
    "malformed-row",
    "path-outside",
    "folder-link",
)
"""Reasons that lie in INPUT rather than in a picture: for them `score` ends with a status of its own."""


class Chunk(TypedDict):
    """The unit of work and of resuming: photographs that become one part. Columns, so that Ray can carry it."""

    part: str
    ids: list[str]
    paths: list[str | None]
    data: list[bytes | None]
    faults: list[list[str] | None]


Tally = Counter[str]
"""What became of a chunk: numbers of `pictures`, `faces`, `empty` pictures without a face, and `failures`."""
