"""Artificial faces that show their age, for the smoke recipe and for tests."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator

from service.inference.faces import Pixels
from service.inference.manifest import CropSpec
from training.data.store import COLUMNS

SPLITS: Final = ("train",) * 7 + ("val", "calib", "test")
OLDEST: Final = 90


def synthetic_face(age: float, side: int, rng: Generator) -> Pixels:
    """Draw one face, uint8 [side, side, 3]: hair whitens and the brow wrinkles evenly with `age` in years."""
    scale = side / 176
    face = np.full((side, side, 3), rng.integers(40, 200, 3), dtype=np.uint8)
    middle = side // 2 + int(rng.integers(-4, 5) * scale)
    grey = int(30 + 200 * age / OLDEST)
    _ellipse(face, (middle, int(78 * scale)), (60 * scale, 68 * scale), (grey, grey, grey))
    skin = tuple(int(tone) for tone in np.array([225, 180, 150]) - rng.integers(0, 80))
    _ellipse(face, (middle, int(98 * scale)), (48 * scale, 60 * scale), skin)
    for eye in (-18, 18):
        _ellipse(face, (middle + int(eye * scale), int(88 * scale)), (6 * scale, 4 * scale), (30, 30, 40))
    _ellipse(face, (middle, int(132 * scale)), (18 * scale, 4 * scale), (150, 60, 60))
    for wrinkle in range(int(age // 10)):
        height = int((46 + 4 * wrinkle) * scale)
        reach = int(26 * scale)
        cv2.line(face, (middle - reach, height), (middle + reach, height), (90, 60, 50), max(1, int(2 * scale)))
    noise = rng.normal(0, 6, face.shape)
    return np.clip(face + noise, 0, 255).astype(np.uint8)


def synthetic_store(
    folder: Path, count: int, *, size: int = 64, bleed: int = 12, seed: int = 0, source: str = "synthetic"
) -> Path:
    """Write a store of `count` drawn faces aged 0..90, in all four splits; equal seeds give equal bytes."""
    rng = np.random.default_rng(seed)
    ages = rng.integers(0, OLDEST + 1, count)
    side = size + 2 * bleed
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "faces.npy", np.stack([synthetic_face(float(age), side, rng) for age in ages]))
    with (folder / "index.csv").open("w", newline="") as stream:
        rows = csv.DictWriter(stream, COLUMNS, restval="")
        rows.writeheader()
        for row, age in enumerate(ages):
            name, sex = f"{row:05d}.png", ("female", "male")[row % 2]
            split = SPLITS[row % len(SPLITS)]
            label = {"row": row, "source": source, "file": name, "low": age, "high": age, "sex": sex, "split": split}
            rows.writerow(label)
    about = {"crop": CropSpec(size=size, margin=0.1).model_dump(), "bleed": bleed, "source": source}
    (folder / "store.json").write_text(json.dumps(about, indent=2) + "\n")
    return folder


def _ellipse(face: Pixels, center: tuple[int, int], axes: tuple[float, float], colour: tuple[int, ...]) -> None:
    cv2.ellipse(face, center, (max(1, int(axes[0])), max(1, int(axes[1]))), 0, 0, 360, colour, cv2.FILLED)
