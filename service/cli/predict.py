"""`agelens predict`: ages in a photograph without a server, as a table, JSON or an annotated picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.api.schemas import PredictReply
from service.cli.annotation import check_suffix, refuse_overwriting, save_annotated
from service.cli.photos import find_photos, read_photo
from service.errors import InvalidParameter, InvalidSetting, PictureError
from service.inference.decoding.decoder import DirectDecoder
from service.inference.distribution import AGES, AgeDistribution
from service.inference.faces import AgePrediction
from service.inference.options import PredictOptions
from service.inference.pipeline import PhotoPrediction, no_checkpoint
from service.printable import as_utf8, shown
from service.runtime.command_pipeline import open_command_pipeline
from service.settings import Settings, load_settings

UNREADABLE: Final = 3
"""Exit status if a photograph cannot be read."""
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_YEARS_PER_BLOCK: Final = 5


@dataclass(frozen=True, slots=True)
class PredictCommand:
    """The arguments of the command; `photos` are files, folders, patterns, or `-` for standard input."""

    photos: Sequence[str]
    options: PredictOptions = field(default_factory=PredictOptions)
    as_json: bool = False
    annotate: Path | None = None
    models_dir: Path | None = None

    def run(self, console: Console | None = None) -> int:
        """Predict and print one photograph after the other; return 0, also if there is no face, or an error's status.

        Raises AgelensError for what concerns all photographs, such as a missing model.
        """
        photos = find_photos(self.photos)
        alone = len(photos) == 1
        if self.annotate:
            check_suffix(self.annotate)
            if not alone:
                raise InvalidParameter(f"--annotate takes one photograph; {len(photos)} were named")
            refuse_overwriting(self.annotate, photos[0].where)
        settings = load_settings(models_dir=self.models_dir)
        options = self.options.completed(settings)
        console = console or Console()
        waiting = Console(stderr=True)
        failed: list[str] = []
        with open_command_pipeline(settings, options, settings.threads) as pipeline:
            for photo in photos:
                name = as_utf8(photo.where)
                try:
                    with waiting.status("estimating"):
                        data = read_photo(photo)
                        prediction = pipeline.predict(data, options, max_pixels=settings.max_pixels)
                    self._print(name, prediction, console, alone)
                    if self.annotate:
                        _draw(self.annotate, data, prediction, settings)
                except PictureError as error:
                    failed.append(f"agelens: {name}: {error}")
                    if self.as_json and not alone:
                        console.out(json.dumps({"file": name, "error": str(error)}), highlight=False)
        for line in failed:
            typer.echo(shown(line), err=True)
        return UNREADABLE if failed else 0

    def _print(self, name: str, prediction: PhotoPrediction, console: Console, alone: bool) -> None:
        if self.as_json:
            fields = json_of(prediction, self.options)
            text = json.dumps(fields, indent=2) if alone else json.dumps({"file": name, **fields})
            console.out(text, highlight=False)
            return
        model = prediction.model
        console.print(
            f"{escape(shown(name))}  {prediction.width} x {prediction.height} pixels, "
            f"{model.name} {model.version}, {prediction.timings_ms['total']:.0f} ms",
            highlight=False,
        )
        if prediction.faces:
            console.print(table_of(prediction.faces, self.options.thresholds, self.options.interval))
        else:
            console.print("No face found. If the picture is a face already cut out, use --no-detect.")


def _draw(path: Path, data: bytes, prediction: PhotoPrediction, settings: Settings) -> None:
    with DirectDecoder(settings.decode_limits).open(data, settings.max_pixels, no_checkpoint) as decode:
        photo = decode(None)
    try:
        save_annotated(path, photo, prediction.faces)
    except (OSError, ValueError) as error:  # a disk that is full, a picture too wide for the format
        reason = getattr(error, "strerror", None) or error
        raise InvalidSetting(f"--annotate: {path} cannot be written: {reason}") from error


def json_of(prediction: PhotoPrediction, options: PredictOptions) -> dict[str, Any]:
    """Return a prediction as the service's reply without the request id."""
    reply = PredictReply.of(prediction, options, request_id="")
    return reply.model_dump(mode="json", exclude={"request_id"}, exclude_unset=True)


def table_of(faces: tuple[AgePrediction, ...], thresholds: tuple[int, ...], level: float) -> Table:
    """Return a table with one row for each face, largest first."""
    table = Table("", "age", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(f"{level:.0%} sure", no_wrap=True)
    table.add_column("±", no_wrap=True)
    table.add_column("0 … 100 years", no_wrap=True, min_width=AGES // _YEARS_PER_BLOCK + 1, style="green")
    for age in thresholds:
        table.add_column(f"≥ {age}", justify="right", no_wrap=True)
    table.add_column("at x, y", no_wrap=True)
    if any(face.warnings for face in faces):
        table.add_column("warnings", style="yellow")
    for number, prediction in enumerate(faces, start=1):
        table.add_row(*_row(number, prediction, thresholds))
    return table


def sparkline(distribution: AgeDistribution) -> str:
    """Draw a distribution as a bar of blocks, one for each five years."""
    sums = [float(distribution.pmf[k : k + _YEARS_PER_BLOCK].sum()) for k in range(0, AGES, _YEARS_PER_BLOCK)]
    highest = max(sums)
    return "".join(_BLOCKS[round(share / highest * (len(_BLOCKS) - 1))] for share in sums)


def _row(number: int, prediction: AgePrediction, thresholds: tuple[int, ...]) -> list[str]:
    low, high = prediction.interval
    box = prediction.face.box
    cells = [
        str(number),
        f"[bold]{prediction.age:.1f}[/]",
        f"{low} to {high}",
        f"{prediction.distribution.variance**0.5:.1f}",
        sparkline(prediction.distribution),
        *(percent(prediction.distribution.at_least(age)) for age in thresholds),
        f"{round(box.x)}, {round(box.y)}",
    ]
    return [*cells, ", ".join(prediction.warnings).replace("_", " ")] if prediction.warnings else cells


def percent(probability: float) -> str:
    """Format a probability with one decimal, never as 0 % or 100 %."""
    if probability > 0.9995:
        return ">99.9%"
    return "<0.1%" if probability < 0.0005 else f"{probability:.1%}"
