"""Detect and crop every picture of a dataset once, with the service's own detector and crop, into a store.

A store is a folder: `faces.npy`, uint8 [N, S, S, 3] with S = size + 2·bleed, `index.csv` with a row a picture,
and `store.json` with the crop and what it was made from. Picture i of the listing has row i of `faces.npy`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib.format import open_memmap
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.atomic_write import atomic_write
from service.errors import PictureError
from service.inference.decoding.photo import decode_image
from service.inference.detection.detector import BlazeFaceDetector
from service.inference.faces import Face, Pixels
from service.inference.imaging import Pyramid, crop_face
from service.inference.manifest import CropSpec
from training.data.store import COLUMNS
from training.datasets import DatasetError, Listing, Sample
from training.datasets.source import Source

_JOURNAL: Final = "index.partial.csv"
_SIZES: Final = "sizes_sha256"
_LABELS: Final = ("low", "high", "subject", "group", "sex", "race", "split")
_CHUNK: Final = 16


class PrepareError(DatasetError):
    """A store cannot be written or continued; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one picture gave: a face and its crop, or the reason for leaving it out."""

    row: int
    face: Face | None = None
    crop: Pixels | None = None
    reason: str = ""


def prepare(
    listing: Listing,
    out: Path,
    models_dir: Path,
    crop: CropSpec,
    bleed: int,
    workers: int | None = None,
) -> Listing:
    """Write the store `out` of a listing, going on where an interrupted run stopped.

    A store of the same pictures gets the listing's labels and splits. Returns the listing of the pictures that have a
    face in the store, the others rejected by reason. Raises PrepareError where `out` holds a store of other pictures or
    another crop, where pictures have other lengths than they had, and where there is no picture or none with a face;
    FileMissing where `models_dir` lacks the detector's file.
    """
    if not listing.samples:
        left_out = ", ".join(f"{count} ({reason})" for reason, count in listing.rejected.items())
        raise PrepareError(
            f"{listing.dataset} has no photograph to prepare; rows and files left out: {left_out or 'none'}"
        )
    out.mkdir(parents=True, exist_ok=True)
    done = _start_or_continue(out, listing, crop, bleed)
    if (out / "index.csv").exists():
        return _kept(out, listing)
    side = crop.size + 2 * bleed
    mode = "r+" if (out / "faces.npy").exists() else "w+"
    faces = open_memmap(out / "faces.npy", mode, np.uint8, (len(listing.samples), side, side, 3))
    todo = [row for row in range(len(listing.samples)) if row not in done]
    with (out / _JOURNAL).open("a", newline="") as stream:
        journal = csv.writer(stream)
        for found in _progress(_work(listing, todo, models_dir, crop, bleed, workers), len(done), len(listing.samples)):
            if found.crop is not None:
                faces[found.row] = found.crop
            journal.writerow(_index_row(listing.dataset, listing.samples[found.row], found))
            stream.flush()
    faces.flush()
    _finish(out)
    return _kept(out, listing)


def _start_or_continue(out: Path, listing: Listing, crop: CropSpec, bleed: int) -> set[int]:
    names = _digest(sample.path for sample in listing.samples)
    made_from = {"crop": crop.model_dump(), "bleed": bleed, "source": listing.dataset, "pictures_sha256": names}
    made_from[_SIZES] = _digest(_size(listing.source, sample.path) for sample in listing.samples)
    about = out / "store.json"
    if about.exists():
        before = json.loads(about.read_text())
        # A store of an older version does not say how long its pictures were.
        if before | {_SIZES: None} != made_from | {_SIZES: None}:
            raise PrepareError(
                f"{out} holds a store of other pictures or another crop; give another --out or delete it"
            )
        if before.get(_SIZES, made_from[_SIZES]) != made_from[_SIZES]:
            raise PrepareError(
                f"pictures were replaced under their names since {out} was begun; give another --out or delete it"
            )
    else:
        about.write_text(json.dumps(made_from, indent=2) + "\n")
    journal = out / _JOURNAL
    if not journal.exists():
        _relabel(out / "index.csv", listing)
        return set()
    whole = [line for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
    journal.write_text("".join(whole))  # a killed run may leave half a line
    _relabel(journal, listing)
    return {int(row[0]) for row in csv.reader(whole)}


def _digest(values: Iterable[object]) -> str:
    return hashlib.sha256("\n".join(map(str, values)).encode()).hexdigest()


def _size(source: Source, path: str) -> int:
    """Return a picture's length in bytes, -1 where it is not there."""
    try:
        return source.size(path)
    except OSError:
        return -1


def _relabel(table: Path, listing: Listing) -> None:
    """Give a store's rows the labels and splits that the listing has, and say how many are others than before."""
    if not table.exists():
        return
    samples = {sample.path: sample for sample in listing.samples}
    file = COLUMNS.index("file")
    with table.open(newline="") as stream:
        before = list(csv.reader(stream))
    after = [_with_labels(row, samples[row[file]]) if row[file] in samples else row for row in before]
    changed = sum(one != other for one, other in zip(before, after, strict=True))
    if not changed:
        return
    with atomic_write(table) as partial, partial.open("w", newline="") as stream:
        csv.writer(stream).writerows(after)
    Console(stderr=True).print(
        f"{changed} rows of {table} have new labels or splits now", markup=False, highlight=False, soft_wrap=True
    )


def _with_labels(row: list[str], sample: Sample) -> list[str]:
    labels = {name: "" if value is None else str(value) for name, value in asdict(sample).items() if name in _LABELS}
    return [labels.get(name, value) for name, value in zip(COLUMNS, row, strict=True)]


def _work(
    listing: Listing, todo: list[int], models_dir: Path, crop: CropSpec, bleed: int, workers: int | None
) -> Iterator[_Found]:
    """Yield what each picture gives, as it is ready, from a pool of processes with a detector each."""
    # What keeps a detector from starting is raised here: a pool would start failing processes for ever.
    BlazeFaceDetector(models_dir, crop.detector_threshold)
    count = max(1, min(workers or os.cpu_count() or 1, len(todo)))
    context = multiprocessing.get_context("spawn")
    arguments = (listing.source, models_dir, crop, bleed)
    with context.Pool(count, _begin_worker, arguments) as pool:
        jobs = ((row, listing.samples[row].path) for row in todo)
        yield from pool.imap_unordered(_find, jobs, chunksize=_CHUNK)


class _Worker:
    """What a process of the pool keeps between pictures."""

    def __init__(self, source: Source, models_dir: Path, crop: CropSpec, bleed: int) -> None:
        self.source, self.crop, self.bleed = source, crop, bleed
        self.detector = BlazeFaceDetector(models_dir, crop.detector_threshold)

    def find(self, row: int, path: str) -> _Found:
        try:
            photo = decode_image(self.source.read(path))
        except (PictureError, OSError) as error:
            return _Found(row, reason=f"unreadable: {error}")
        pyramid = Pyramid(photo.pixels)
        faces = self.detector.detect(pyramid).faces
        if not faces:
            return _Found(row, reason="no face found")
        return _Found(row, faces[0], crop_face(pyramid, faces[0], self.crop, self.bleed))


_process: dict[str, _Worker] = {}


def _begin_worker(source: Source, models_dir: Path, crop: CropSpec, bleed: int) -> None:
    _process["worker"] = _Worker(source, models_dir, crop, bleed)


def _find(job: tuple[int, str]) -> _Found:
    return _process["worker"].find(*job)


def _index_row(dataset: str, sample: Sample, found: _Found) -> list[Any]:
    labels = asdict(sample)
    values = {**labels, "row": found.row, "source": dataset, "file": sample.path, "reason": found.reason}
    if found.face is not None:
        box = found.face.box
        sizes = {"box_x": box.x, "box_y": box.y, "box_width": box.width, "box_height": box.height}
        values |= {name: round(value, 2) for name, value in sizes.items()}
        values["confidence"] = round(found.face.confidence, 4)
    return ["" if values.get(name) is None else values[name] for name in COLUMNS]


def _progress(found: Iterator[_Found], done: int, total: int) -> Iterator[_Found]:
    left_out_column = TextColumn("{task.fields[out]} left out")
    with Progress(
        TextColumn("faces"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), left_out_column
    ) as bar:
        task = bar.add_task("faces", total=total, completed=done, out=0)
        left_out = 0
        for item in found:
            left_out += bool(item.reason)
            bar.update(task, advance=1, out=left_out)
            yield item


def _finish(out: Path) -> None:
    """Sort the journal by row into `index.csv`; a picture that was left out has no row of pixels."""
    with (out / _JOURNAL).open(newline="") as stream:
        rows = sorted(csv.reader(stream), key=lambda row: int(row[0]))
    rows = [row if not row[-1] else ["", *row[1:]] for row in rows]
    with atomic_write(out / "index.csv") as partial, partial.open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    (out / _JOURNAL).unlink()


def _kept(out: Path, listing: Listing) -> Listing:
    kept = listing.replaced([])
    with (out / "index.csv").open(newline="") as stream:
        for sample, row in zip(listing.samples, csv.DictReader(stream), strict=True):
            if row["reason"]:
                kept.reject(sample.path, row["reason"])
            else:
                kept.samples.append(sample)
    if not kept.samples:
        raise PrepareError(f"no photograph of {listing.dataset} has a face that was found, so the store is empty")
    return kept
