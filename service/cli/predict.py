"""`agelens predict`: ages in a photograph without a server, as a table, JSON or an annotated picture."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.cli.annotation import check_suffix, save_annotated
from service.errors import CorruptPicture, InvalidParameter
from service.inference.distribution import AGES, AgeDistribution
from service.inference.faces import AgePrediction
from service.inference.options import PredictOptions
from service.runtime.native import without_native_noise
from service.settings import Settings, load_settings

if TYPE_CHECKING:
    from service.inference.pipeline import PhotoPrediction, Pipeline

STANDARD_INPUT: Final = "-"
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_YEARS_PER_BLOCK: Final = 5


@dataclass(frozen=True, slots=True)
class PredictCommand:
    """The arguments of the command; `photo` is a path, or `-` for standard input."""

    photo: str
    options: PredictOptions = field(default_factory=PredictOptions)
    as_json: bool = False
    annotate: Path | None = None
    models_dir: Path | None = None

    def run(self, console: Console | None = None) -> int:
        """Predict, print and draw; return 0, also if there is no face. Raise AgelensError."""
        if self.annotate:
            check_suffix(self.annotate)
        data = read_photo(self.photo)
        settings = load_settings(models_dir=self.models_dir)
        with without_native_noise() as terminal, Console(file=terminal).status("estimating"):
            prediction = self._predict(data, settings)
        if self.annotate:
            self._draw(data, prediction, settings.max_pixels)
        self._print(prediction, console or Console())
        return 0

    def _predict(self, data: bytes, settings: Settings) -> PhotoPrediction:
        options = self.options.completed(settings)
        with _open(options.model, settings) as pipeline:
            return pipeline.predict(data, options, max_pixels=settings.max_pixels)

    def _draw(self, data: bytes, prediction: PhotoPrediction, max_pixels: int) -> None:
        from service.inference.imaging import decode_image

        if self.annotate:
            try:
                save_annotated(self.annotate, decode_image(data, max_pixels=max_pixels), prediction.faces)
            except OSError as error:
                raise InvalidParameter(f"--annotate: {self.annotate} cannot be written: {error.strerror}") from error

    def _print(self, prediction: PhotoPrediction, console: Console) -> None:
        if self.as_json:
            console.out(json_text(prediction, self.options), highlight=False)
            return
        model = prediction.model
        console.print(
            f"{escape(self.photo)}  {prediction.width} x {prediction.height} pixels, "
            f"{model.name} {model.version}, {prediction.timings_ms['total']:.0f} ms",
            highlight=False,
        )
        if prediction.faces:
            console.print(table_of(prediction.faces, self.options.thresholds, self.options.interval))
        else:
            console.print("No face found. A picture that is a face already cut out is read with --no-detect.")


def read_photo(photo: str) -> bytes:
    """Return the bytes of the photograph; raise CorruptPicture naming a file that cannot be read."""
    if photo == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(photo).read_bytes()
    except OSError as error:
        raise CorruptPicture(f"{photo} cannot be read: {error.strerror}") from error


def json_text(prediction: PhotoPrediction, options: PredictOptions) -> str:
    """Return a prediction as the JSON of the service's reply, without the request id."""
    from service.api.schemas import PredictReply

    reply = PredictReply.of(prediction, options, request_id="")
    return json.dumps(reply.model_dump(mode="json", exclude={"request_id"}, exclude_unset=True), indent=2)


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
        f"{box.x:.0f}, {box.y:.0f}",
    ]
    return [*cells, ", ".join(prediction.warnings).replace("_", " ")] if prediction.warnings else cells


def percent(probability: float) -> str:
    """Format a probability with one decimal, never as 0 % or 100 %."""
    if probability > 0.9995:
        return ">99.9%"
    return "<0.1%" if probability < 0.0005 else f"{probability:.1%}"


def _open(model: str | None, settings: Settings) -> Pipeline:
    from service.inference.pipeline import load_models, open_pipeline

    wanted = model or settings.default_model
    names = [wanted] if wanted else settings.models or None
    estimators = load_models(settings.models_folder, names, settings.threads, settings.providers)
    return open_pipeline(settings.models_folder, estimators, wanted)
