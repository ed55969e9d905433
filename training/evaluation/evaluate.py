"""Measure models on original photographs, through the service's own pipeline."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.errors import PictureError
from service.inference.detection.detector import Detection, FaceDetector
from service.inference.detection.search_work import MOST_WORK
from service.inference.distribution import AGES
from service.inference.estimator import Estimator
from service.inference.faces import BoundingBox
from service.inference.imaging import Pyramid
from service.inference.options import PredictOptions
from service.inference.pipeline import Pipeline
from training.datasets import Listing, Sample
from training.evaluation.metrics import error_with_missed
from training.evaluation.predictions import Predictions
from training.evaluation.summary import summarise_sources

T = TypeVar("T")

WORST: Final = 24
THUMBNAIL: Final = 96
FALLBACK_AGE: Final = 30.0
"""Age that missed faces count as, if there is no training split to take the median of."""


@dataclass(frozen=True)
class Photograph:
    """One labelled picture of a dataset, and a function that reads its bytes."""

    source: str
    sample: Sample
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Seen:
    """One model's answer for one photograph: pmf float64 [101] of the largest face, or the reason for having none."""

    pmf: NDArray[np.float64] | None
    box: BoundingBox | None
    faces: int
    reason: str = ""


class RememberingDetector:
    """Caches the faces of the last picture, so that several models cost one detection."""

    def __init__(self, detector: FaceDetector) -> None:
        """Wrap a detector; use it in one thread only."""
        self._detector = detector
        self._last: tuple[Pyramid, float | None, float, Detection] | None = None

    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:
        """Find the faces of `picture`, largest first."""
        if self._last is not None:
            before, size, limit, found = self._last
            if (size, limit) == (min_size, work) and np.array_equal(before.pixels, picture.pixels):
                return found
        found = self._detector.detect(picture, min_size, work)
        self._last = (picture, min_size, work, found)
        return found

    def close(self) -> None:
        """Free the detector inside."""
        self._detector.close()


def photographs(listings: Sequence[Listing], split: str | None, limit: int | None = None) -> list[Photograph]:
    """List the pictures of a split (None: of all), at most `limit` of each dataset, spread evenly over it."""
    found: list[Photograph] = []
    for listing in listings:
        samples = [sample for sample in listing.samples if split is None or sample.split == split]
        if limit is not None and limit < len(samples):
            samples = [samples[i] for i in np.linspace(0, len(samples) - 1, limit).astype(int)]
        found += [Photograph(listing.dataset, sample, _reader(listing, sample.path)) for sample in samples]
    return found


def _reader(listing: Listing, path: str) -> Callable[[], bytes]:
    return lambda: listing.open(path)


def training_median(listings: Sequence[Listing]) -> float:
    """Median age of the training splits in years: the age that missed faces count as."""
    ages = [(sample.low + sample.high) / 2 for each in listings for sample in each.samples if sample.split == "train"]
    return float(np.median(ages)) if ages else FALLBACK_AGE


def look(
    estimators: Mapping[str, Estimator],
    make_detector: Callable[[], FaceDetector],
    pictures: Sequence[Callable[[], bytes]],
    *,
    workers: int | None = None,
) -> Iterator[dict[str, Seen]]:
    """Yield each picture's answers by model, in order; every worker thread has its own detector."""
    own = threading.local()

    def one(read: Callable[[], bytes]) -> dict[str, Seen]:
        if not hasattr(own, "pipeline"):
            own.pipeline = Pipeline(RememberingDetector(make_detector()), estimators, next(iter(estimators)))
        return {name: _seen(own.pipeline, name, read) for name in estimators}

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        yield from pool.map(one, pictures)


def _seen(pipeline: Pipeline, model: str, read: Callable[[], bytes]) -> Seen:
    try:
        faces = pipeline.predict(read(), PredictOptions(model=model)).faces
    except (PictureError, OSError) as error:
        return Seen(None, None, 0, f"unreadable: {error}")
    if not faces:
        return Seen(None, None, 0, "no face found")
    return Seen(faces[0].distribution.pmf, faces[0].face.box, len(faces))


def evaluate(
    estimators: Mapping[str, Estimator],
    make_detector: Callable[[], FaceDetector],
    shown: Sequence[Photograph],
    out: Path,
    *,
    fallback_age: float = FALLBACK_AGE,
    workers: int | None = None,
    extras: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Predict every photograph with every model and write `out/NAME.json` and `out/NAME.npz`; return the JSON trees.

    The largest face of a photograph counts. `extras` are added to a model's tree. Raises ValueError if there is no
    photograph, or none with a face.
    """
    if not shown:
        raise ValueError("no photograph to evaluate; check the datasets, their indexes and the split")
    out.mkdir(parents=True, exist_ok=True)
    pictures = [photograph.read for photograph in shown]
    seen = list(progress(look(estimators, make_detector, pictures, workers=workers), len(shown), "photographs"))
    trees = {}
    for name, estimator in estimators.items():
        manifest = estimator.manifest
        mine = [each[name] for each in seen]
        found = collect(shown, mine, manifest.decode)
        tree = {"model": describe(estimator), **(extras or {}).get(name, {}), **detection(shown, mine)}
        tree["fallback_age"] = fallback_age
        missed = [(p.sample.low, p.sample.high) for p, s in zip(shown, mine, strict=True) if s.pmf is None]
        tree["mae_with_missed"] = error_with_missed(found, missed, fallback_age)
        tree["results"] = summarise_sources(found, manifest.bands(), fallback_age, manifest.mix())
        (out / f"{name}.json").write_text(json.dumps(tree, indent=1) + "\n")
        save_raw(out / f"{name}.npz", shown, mine, found.error)
        trees[name] = tree
    return trees


def describe(estimator: Estimator) -> dict[str, Any]:
    """Say which file was measured: its sha256 and its manifest without the interval table."""
    return {"sha256": estimator.sha256, **estimator.manifest.model_dump(mode="json", exclude={"intervals", "age_mix"})}


def collect(shown: Sequence[Photograph], seen: Sequence[Seen], decode: str) -> Predictions:
    """Put the answers and labels of the photographs with a face into arrays."""
    kept = [(photograph, each.pmf) for photograph, each in zip(shown, seen, strict=True) if each.pmf is not None]
    samples = [photograph.sample for photograph, _ in kept]
    return Predictions.of(
        np.stack([pmf for _, pmf in kept]) if kept else np.empty((0, AGES)),
        [sample.low for sample in samples],
        [sample.high for sample in samples],
        decode=decode,
        sex=[sample.sex or "" for sample in samples],
        race=[sample.race or "" for sample in samples],
        source=[photograph.source for photograph, _ in kept],
    )


def detection(shown: Sequence[Photograph], seen: Sequence[Seen]) -> dict[str, Any]:
    """Count the photographs and the share with a face, overall and by source; name up to ten without one."""
    rate = {}
    for source in sorted({photograph.source for photograph in shown}):
        hits = [
            each.pmf is not None for photograph, each in zip(shown, seen, strict=True) if photograph.source == source
        ]
        rate[source] = float(np.mean(hits))
    missed = [
        {"file": photograph.sample.path, "source": photograph.source, "reason": each.reason}
        for photograph, each in zip(shown, seen, strict=True)
        if each.pmf is None
    ]
    return {
        "photographs": len(shown),
        "detection_rate": float(np.mean([each.pmf is not None for each in seen])),
        "detection_rate_by_source": rate,
        "several_faces": int(sum(each.faces > 1 for each in seen)),
        "missed": len(missed),
        "missed_examples": missed[:10],
    }


def save_raw(path: Path, shown: Sequence[Photograph], seen: Sequence[Seen], error: NDArray[np.float64]) -> None:
    """Write what was predicted: pmf float32 [n, 101] (NaN where missed), boxes [n, 4], labels, names, worst faces."""
    found = [i for i, each in enumerate(seen) if each.pmf is not None]
    worst = [found[i] for i in np.argsort(-error, kind="stable")[:WORST]]
    samples = [photograph.sample for photograph in shown]
    nothing = np.full(AGES, np.nan)
    boxes = [(b.x, b.y, b.width, b.height) if (b := each.box) else (np.nan,) * 4 for each in seen]
    np.savez_compressed(
        path,
        pmf=np.stack([nothing if each.pmf is None else each.pmf for each in seen]).astype(np.float32),
        box=np.array(boxes, dtype=np.float32),
        low=np.array([sample.low for sample in samples]),
        high=np.array([sample.high for sample in samples]),
        name=np.array([sample.path for sample in samples]),
        source=np.array([photograph.source for photograph in shown]),
        sex=np.array([sample.sex or "" for sample in samples]),
        race=np.array([sample.race or "" for sample in samples]),
        worst=np.array(worst, dtype=np.int64),
        worst_faces=np.array([thumbnail(shown[i].read(), seen[i].box) for i in worst], dtype=np.uint8),
    )


def thumbnail(data: bytes, box: BoundingBox | None) -> NDArray[np.uint8]:
    """Cut a face out of an encoded picture with a quarter of its width around, uint8 [96, 96, 3]."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    if box is not None:
        side = 1.5 * max(box.width, box.height)
        x, y = box.center
        picture = picture.crop((round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2)))
    return np.asarray(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR))


def progress(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Yield the items while a bar shows how many of `total` are done, and the time left."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        yield from bar.track(items, total=total)
