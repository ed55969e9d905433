"""The command line of `agelens score`, word for word, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, get_args

from rich.console import Console

from service.errors import InvalidParameter
from service.inference.pipeline import PredictOptions
from service.scoring.command import Engine, ScoreCommand
from service.scoring.job import Format
from service.scoring.local import score_locally
from service.scoring.ray import score_on_ray
from service.scoring.tables import Columns
from service.settings import load_settings

Choice = TypeVar("Choice")

ENGINES: Final[dict[str, Engine]] = {
    "processes": score_locally,
    "threads": partial(score_locally, kind="threads"),
    "ray": score_on_ray,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed; None where the settings decide."""

    source: str
    output: Path
    fmt: str = "parquet"
    engine: str = "processes"
    workers: int | None = None
    model: str | None = None
    thresholds: tuple[int, ...] = ()
    interval: float = 0.9
    max_faces: int | None = None
    min_face_size: float | None = None
    detect: bool = True
    column: str | None = None
    id_column: str | None = None
    models_dir: Path | None = None
    report: bool = False

    def run(self) -> int:
        """Score; raise AgelensError naming an option that cannot be used."""
        return self.command().run(Console(stderr=True))

    def command(self) -> ScoreCommand:
        """Check the words, and take from the settings what was not said."""
        settings = load_settings(models_dir=self.models_dir)
        formats: dict[str, Format] = {name: name for name in get_args(Format)}
        options = PredictOptions(
            model=self.model,
            thresholds=self.thresholds,
            max_faces=settings.max_faces if self.max_faces is None else self.max_faces,
            min_face_size=settings.min_face_size if self.min_face_size is None else self.min_face_size,
            interval=self.interval,
            detect=self.detect,
        )
        return ScoreCommand(
            self.source,
            self.output,
            format=_one_of("--format", self.fmt, formats),
            engine=_one_of("--engine", self.engine, ENGINES),
            workers=self.workers,
            options=options,
            columns=Columns(self.column, self.id_column),
            models_dir=self.models_dir,
            report=self.report,
        )


def _one_of(option: str, word: str, choices: Mapping[str, Choice]) -> Choice:
    if word not in choices:
        raise InvalidParameter(f"{option} takes one of {', '.join(choices)}; got {word}")
    return choices[word]
