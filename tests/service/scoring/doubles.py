"""Pipelines and a process for scoring's tests: real models behind a detector that sees a face in the middle."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from service.inference.detection.detector import Detection
from service.inference.detection.search_work import MOST_WORK
from service.inference.imaging import Pyramid
from service.inference.options import PredictOptions
from service.inference.pipeline import Pipeline, load_models
from service.scoring.command import ScoreCommand
from service.scoring.inputs import Inputs
from service.scoring.job import Fault
from service.scoring.local import score_locally
from service.scoring.storage import pictures
from service.settings import Settings
from tests.service.doubles import MiddleFace

ROOT = Path(__file__).parents[3]
DEADLY_GREY = 153
THREADS = partial(score_locally, kind="threads")


class Deadly(MiddleFace):
    """Kills its process where a picture is of one certain grey."""

    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:
        if picture.pixels[0, 0, 0] == DEADLY_GREY:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(picture, min_size, work)


def middle_face(settings: Settings, options: PredictOptions, detector: MiddleFace | None = None) -> Pipeline:
    estimators = load_models(settings.models_folder, ["brightness"])
    return Pipeline(detector or MiddleFace(), estimators, "brightness")


def deadly(settings: Settings, options: PredictOptions) -> Pipeline:
    return middle_face(settings, options, Deadly())


def gated(settings: Settings, options: PredictOptions) -> Pipeline:
    """Let one picture through for each byte of the FIFO that the environment names."""
    gate = Path(os.environ["TEST_GATE"]).open("rb", buffering=0)  # noqa: SIM115 - it stays open as long as the worker
    return middle_face(settings, options, MiddleFace(lambda: assert_byte(gate.read(1))))


def assert_byte(read: bytes) -> None:
    assert read, "the gate was closed"


def scored(output: Path) -> list[dict[str, Any]]:
    """All rows of an archive, by id and face."""
    rows: list[dict[str, Any]] = []
    for part in output.glob("part-*"):
        if part.suffix == ".parquet":
            rows += pq.read_table(io.BytesIO(part.read_bytes())).to_pylist()
        elif part.suffix == ".csv":
            with part.open(newline="") as stream:
                rows += csv.DictReader(stream)
        else:
            rows += [json.loads(line) for line in part.read_text().split("\n") if line]
    return sorted(rows, key=lambda row: (row["id"], int(row.get("face") or 0)))


def main() -> None:
    """Score in a process of its own: NAME PHOTOS OUTPUT MODELS [GATE]."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background starts is deaf to it
    name, photos, output, models_dir, *gate = sys.argv[1:]
    os.environ["TEST_GATE"] = gate[0] if gate else ""
    pipeline = {"deadly": deadly, "gated": gated}[name]
    command = ScoreCommand(photos, Path(output), workers=1, models_dir=Path(models_dir), pipeline=pipeline)
    command.run(Console(quiet=True))


if __name__ == "__main__":
    main()


def contents(inputs: Inputs) -> dict[str, bytes | OSError | Fault]:
    return {item.id: data for item, data in pictures(list(inputs))}


def table(path: Path, /, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path
