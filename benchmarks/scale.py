"""How long to measure: for figures to publish, or just to see that everything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """Rounds, seconds and counts; `labelled` is a folder with `index.csv` (file, age, split) and `images/`."""

    rounds: int = 5
    seconds: float = 8.0
    repeats: int = 200
    requests: int = 1000
    pictures: int = 2000
    scenes: int = 300
    faces: int = 500
    labelled: Path | None = None


QUICK: Final = Scale(rounds=1, seconds=1.0, repeats=5, requests=10, pictures=20, scenes=3, faces=5)
