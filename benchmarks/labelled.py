"""Photographs whose ages are known, from a folder with `index.csv` (file, age, split) and `images/`."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scale import Scale


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photograph of one person and the person's age in years."""

    path: Path
    age: float


def validation_photos(scale: Scale, count: int) -> list[Labelled]:
    """Choose `count` photographs of the split `val`, the same ones every time; end where there is no folder."""
    if scale.labelled is None:
        raise SystemExit("this benchmark needs --labelled FOLDER with index.csv (file, age, split) and images/")
    with (scale.labelled / "index.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "val"]
    chosen = random.Random(0).sample(rows, min(count, len(rows)))  # noqa: S311 - a choice to repeat, not a secret
    return [Labelled(scale.labelled / "images" / row["file"], float(row["age"])) for row in chosen]
