"""What `agelens predict` does: one photograph, read here without a server, as a table, as JSON or as a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
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
from service.inference.lockfile import default_models_dir
from service.settings import Settings, load_settings

if TYPE_CHECKING:
    from service.inference.pipeline import PhotoPrediction, Pipeline

STANDARD_INPUT: Final = "-"
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_YEARS_PER_BLOCK: Final = 5


@dataclass(frozen=True, slots=True)
class PredictCommand:
    """What the command line asks; `photo` is a path, or `-` for standard input."""

    photo: str
    model: str | None = None
    thresholds: tuple[int, ...] = ()
    interval: float = 0.9
    max_faces: int | None = None
    min_face_size: float | None = None
    detect: bool = True
    as_json: bool = False
    annotate: Path | None = None
    models_dir: Path | None = None

    def run(self, console: Console | None = None) -> int:
        """Predict, print and draw; raise AgelensError. No face is an answer, so the status is 0."""
        if self.annotate:
            check_suffix(self.annotate)
        data = read_photo(self.photo)
        settings = load_settings(models_dir=self.models_dir)
        with Console(stderr=True).status("reading the photograph"):
            prediction = self._predict(data, settings)
        if self.annotate:
            self._draw(data, prediction, settings.max_pixels)
        self._print(prediction, console or Console())
        return 0

    def _predict(self, data: bytes, settings: Settings) -> PhotoPrediction:
        from service.inference.pipeline import PredictOptions

        options = PredictOptions(
            thresholds=self.thresholds,
            max_faces=settings.max_faces if self.max_faces is None else self.max_faces,
            min_face_size=settings.min_face_size if self.min_face_size is None else self.min_face_size,
            interval=self.interval,
            detect=self.detect,
        )
        with _pipeline(self.model, settings) as pipeline:
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
            console.out(json_text(prediction, self.thresholds), highlight=False)
            return
        model = prediction.model
        console.print(
            f"{escape(self.photo)}  {prediction.width} x {prediction.height} pixels, "
            f"{model.name} {model.version}, {prediction.timings_ms['total']:.0f} ms",
            highlight=False,
        )
        if prediction.faces:
            console.print(table_of(prediction.faces, self.thresholds, self.interval))
        else:
            console.print("No face found. A picture that is a face already cut out is read with --no-detect.")


def read_photo(photo: str) -> bytes:
    """Return the photograph's bytes; raise CorruptPicture naming a file that cannot be read."""
    if photo == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(photo).read_bytes()
    except OSError as error:
        raise CorruptPicture(f"{photo} cannot be read: {error.strerror}") from error


def parse_ages(text: str) -> tuple[int, ...]:
    """Read comma-separated ages; raise InvalidParameter showing what was meant."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InvalidParameter(f"--thresholds takes whole ages with commas, as 18,25; got {text}") from error


def json_text(prediction: PhotoPrediction, thresholds: tuple[int, ...]) -> str:
    """Say a prediction as the service's reply does, without the request's id."""
    from service.api.schemas import PredictReply

    reply = PredictReply.of(prediction, thresholds, request_id="")
    return json.dumps(reply.model_dump(mode="json", exclude={"request_id"}), indent=2)


def table_of(faces: tuple[AgePrediction, ...], thresholds: tuple[int, ...], level: float) -> Table:
    """Lay the faces out, one a row, largest first."""
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
    """Draw a distribution with one block for each five years, as high as the probability within them."""
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
    """Say a probability with one decimal; certainty is never claimed."""
    if probability > 0.9995:
        return ">99.9%"
    return "<0.1%" if probability < 0.0005 else f"{probability:.1%}"


@contextmanager
def _pipeline(model: str | None, settings: Settings) -> Iterator[Pipeline]:
    from service.inference.detector import open_detector
    from service.inference.pipeline import Pipeline, load_models

    folder = settings.models_dir or default_models_dir()
    wanted = model or settings.default_model
    names = [wanted] if wanted else settings.models or None
    estimators = load_models(folder, names, settings.threads, settings.providers)
    with closing(open_detector(folder, settings.detector, max_views=settings.max_views)) as detector:
        yield Pipeline(detector, estimators, wanted or next(iter(estimators)))
