"""Photographs whose ages are known, from a folder with `index.csv` (file, age, split) and `images/`."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scale import Scale


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photograph of one person and the person's age in years, of whom 1 stands for 0 or 1 as in UTKFace."""

    path: Path
    age: float

    @property
    def youngest(self) -> float:
        """Return the least age in years that the label stands for."""
        return 0.0 if self.age == 1 else self.age

    def error(self, answer: float) -> float:
        """Return by how many years an answer is above what the label stands for, or below it (negative)."""
        return max(answer - self.age, 0.0) + min(answer - self.youngest, 0.0)


def validation_photos(scale: Scale, count: int) -> list[Labelled]:
    """Choose `count` photographs of the split `val`, the same ones every time; end where there is no folder."""
    if scale.labelled is None:
        raise SystemExit("this benchmark needs --labelled FOLDER with index.csv (file, age, split) and images/")
    with (scale.labelled / "index.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "val"]
    chosen = random.Random(0).sample(rows, min(count, len(rows)))  # noqa: S311 - a choice to repeat, not a secret
    return [Labelled(scale.labelled / "images" / row["file"], float(row["age"])) for row in chosen]
