"""Read cropped faces from memory-mapped stores: splits, order, and prefetched augmented batches."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from service.errors import FileMissing
from service.inference.distribution import AGES
from service.inference.faces import Pixels
from service.inference.manifest import CropSpec
from training.data.augment import Augmentation, centre, framed_and_changed

Integers = NDArray[np.int64]
Sampling = Literal["uniform", "sqrt_inverse"]

COLUMNS: Final = (
    "row", "source", "file", "low", "high", "subject", "group", "sex", "race", "split",
    "confidence", "box_x", "box_y", "box_width", "box_height", "reason",
)  # fmt: skip
"""Of a store's `index.csv`; `row` is empty where `reason` says why a picture was left out."""

PREFETCH: Final = 3
"""Batches made ahead: enough to hide a slow disk read, little memory."""


class Batch(NamedTuple):
    """Faces uint8 [b, size, size, 3], ages `low` and `high` int64 [b], and each face's place in its set.

    In a mixed batch (mixup) face i has the weight `shares[i]` (0.5..1, float32 [b]) and face `partners[i]` (int64 [b])
    the rest. `framed`, uint8 [b, size, size, 3], are the same faces before light and detail were augmented.
    """

    faces: Pixels
    low: Integers
    high: Integers
    places: Integers
    partners: Integers | None = None
    shares: NDArray[np.float32] | None = None
    framed: Pixels | None = None


@dataclass(frozen=True)
class FaceStore:
    """A folder that `agelens-train prepare` wrote: wide crops on disk and one index row for each."""

    source: str
    faces: Pixels
    rows: tuple[dict[str, str], ...]
    crop: CropSpec
    bleed: int

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store without reading its pixels; raise FileMissing naming the missing file."""
        for name in ("store.json", "faces.npy", "index.csv"):
            if not (path / name).is_file():
                raise FileMissing(f"{path} has no {name}; make the store with `agelens-train prepare`")
        about = json.loads((path / "store.json").read_text())
        with (path / "index.csv").open(newline="") as stream:
            rows = tuple(row for row in csv.DictReader(stream) if row["row"])
        crop = CropSpec.model_validate(about["crop"])
        return cls(about["source"], np.load(path / "faces.npy", mmap_mode="r"), rows, crop, int(about["bleed"]))

    def cut_as(self, crop: CropSpec) -> bool:
        """Say whether faces were cut as `crop` says; its exposure and the detector's threshold change no cut."""
        apart = {"exposure": crop.exposure, "detector_threshold": crop.detector_threshold}
        return self.crop.model_copy(update=apart) == crop

    @property
    def digest(self) -> str:
        """What tells the store apart from one of other pictures, labels, splits or another crop."""
        about = [self.source, self.crop.model_dump(mode="json"), self.bleed, self.rows]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    def select(self, split: str) -> FaceSet:
        """Return the faces of one split (`train`, `val`, `calib` or `test`)."""
        rows = tuple(row for row in self.rows if row["split"] == split)
        return FaceSet(((self, rows),))


@dataclass(frozen=True)
class FaceSet:
    """Selected rows of one or several stores, in a fixed order."""

    parts: tuple[tuple[FaceStore, tuple[dict[str, str], ...]], ...]

    @classmethod
    def joined(cls, sets: Sequence[FaceSet]) -> Self:
        """Chain several sets into one."""
        return cls(tuple(part for each in sets for part in each.parts))

    def __len__(self) -> int:
        """Return the number of faces."""
        return sum(len(rows) for _, rows in self.parts)

    @cached_property
    def rows(self) -> tuple[dict[str, str], ...]:
        """Index rows of all faces, in order."""
        return tuple(row for _, rows in self.parts for row in rows)

    @cached_property
    def low(self) -> Integers:
        """Youngest possible age of each face in years, int64 [n]."""
        return np.array([int(row["low"]) for row in self.rows], dtype=np.int64)

    @cached_property
    def high(self) -> Integers:
        """Oldest possible age of each face in years, int64 [n]."""
        return np.array([int(row["high"]) for row in self.rows], dtype=np.int64)

    @cached_property
    def _places(self) -> Integers:
        """Part and row in that part's store, int64 [n, 2]."""
        places = [(part, int(row["row"])) for part, (_, rows) in enumerate(self.parts) for row in rows]
        return np.array(places, dtype=np.int64).reshape(-1, 2)

    def wide(self, index: int) -> Pixels:
        """Return one stored crop with its bleed, uint8 [S, S, 3]."""
        part, row = self._places[index]
        return np.asarray(self.parts[part][0].faces[row])

    def faces(self, index: Integers, size: int) -> Pixels:
        """Return the exact centre windows uint8 [b, size, size, 3], as the service would crop them."""
        return np.stack([centre(self.wide(int(i)), size) for i in index])

    def limited(self, count: int) -> FaceSet:
        """Return at most `count` faces, spread evenly over the set."""
        if count >= len(self):
            return self
        keep = set(np.linspace(0, len(self) - 1, count).astype(int).tolist())
        parts, start = [], 0
        for store, rows in self.parts:
            parts.append((store, tuple(row for i, row in enumerate(rows, start) if i in keep)))
            start += len(rows)
        return FaceSet(tuple(parts))


def order(faces: FaceSet, sampling: Sampling, seed: int, epoch: int) -> Integers:
    """Return the epoch's order, int64 [n]; it depends on `seed` and `epoch` alone, so a run can resume inside it.

    `sqrt_inverse` draws with replacement, a face of age a with weight 1/√(faces of that age).
    """
    rng = np.random.default_rng((seed, epoch))
    if sampling == "uniform":
        return rng.permutation(len(faces))
    middle = np.clip((faces.low + faces.high) // 2, 0, AGES - 1)
    weight = 1 / np.sqrt(np.bincount(middle, minlength=AGES)[middle])
    return rng.choice(len(faces), len(faces), p=weight / weight.sum())


def train_batches(
    faces: FaceSet,
    size: int,
    batch_size: int,
    strength: Augmentation,
    sampling: Sampling,
    seed: int,
    epoch: int,
    start: int = 0,
    mixing: float = 0.0,
    framed: bool = False,
) -> Iterator[Batch]:
    """Yield full augmented batches of one epoch from step `start`, prefetched in a thread.

    With `mixing` above 0 they are `mixed`; with `framed` they also hold the faces before light and detail changed.
    """
    sequence = order(faces, sampling, seed, epoch)
    steps = steps_in_epoch(faces, batch_size)

    def make(step: int) -> Batch:
        index = np.take(sequence, np.arange(step * batch_size, (step + 1) * batch_size), mode="wrap")
        pairs = [
            framed_and_changed(faces.wide(int(i)), size, strength, (seed, epoch, step * batch_size + place))
            for place, i in enumerate(index)
        ]
        before, changed = (np.stack(each) for each in zip(*pairs, strict=True))
        batch = Batch(changed, faces.low[index], faces.high[index], index, framed=before if framed else None)
        return mixed(batch, mixing, (seed, epoch, step)) if mixing else batch

    return ahead(make, range(start, steps))


def mixed(batch: Batch, mixing: float, seed: tuple[int, ...]) -> Batch:
    """Mixup: blend each face with another of its batch, with weights from Beta(mixing, mixing) (Zhang et al. 2018).

    Equal seeds give equal batches. Each face keeps the larger weight, so its place still says whose face it is.
    """
    rng = np.random.default_rng(seed)
    shares = rng.beta(mixing, mixing, len(batch.faces)).astype(np.float32)
    shares = np.maximum(shares, 1 - shares)
    partners = rng.permutation(len(batch.faces))
    own = shares[:, None, None, None]

    def blended(faces: Pixels) -> Pixels:
        return np.rint(own * faces + (1 - own) * faces[partners]).astype(np.uint8)

    framed = None if batch.framed is None else blended(batch.framed)
    return batch._replace(faces=blended(batch.faces), partners=partners, shares=shares, framed=framed)


def signed_error(ages: Any, low: Integers, high: Integers) -> NDArray[np.float64]:
    """Return the error in years of ages [n] against labels low..high [n], positive where too old, 0 inside a label."""
    return np.asarray(np.maximum(ages - high, 0.0) - np.maximum(low - ages, 0.0), dtype=np.float64)


def steps_in_epoch(faces: FaceSet, batch_size: int) -> int:
    """Return the full batches in one epoch; a set smaller than one batch is wrapped into one."""
    return max(1, len(faces) // batch_size)


def ahead(make: Callable[[int], Batch], steps: Sequence[int]) -> Iterator[Batch]:
    """Yield `make(step)` for each step in order while the next few are made in one background thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting = [pool.submit(make, step) for step in steps[:PREFETCH]]
        try:
            for step in range(len(steps)):
                batch = waiting.pop(0).result()
                if step + PREFETCH < len(steps):
                    waiting.append(pool.submit(make, steps[step + PREFETCH]))
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
