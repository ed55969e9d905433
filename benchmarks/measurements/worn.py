"""What poor light and blur cost in years, what a stretch of the exposure mends, and how much of it is warned of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.figures import Findings
from benchmarks.labelled import Labelled, validation_photos
from benchmarks.pictures import jpeg
from benchmarks.scale import Scale
from service.inference.decoding.photo import decode_image
from service.inference.detection.detector import open_detector
from service.inference.distribution import AgeDistribution
from service.inference.estimator import Estimator
from service.inference.face_warnings import warnings_of_light
from service.inference.faces import Face, Pixels
from service.inference.imaging import Pyramid, cut_face, exposed
from service.inference.lockfile import default_models_dir
from service.inference.pipeline import load_models

CHILD_YEARS: Final = 13
WAYS: Final = ("as-is", "stretched")

Wear = Callable[[Pixels, float], Pixels]
"""Changes a picture whose face is so many pixels wide."""


def _light(factor: float) -> Wear:
    return lambda picture, _: np.clip(picture * factor + 0.5, 0, 255).astype(np.uint8)


def _contrast(factor: float) -> Wear:
    return lambda picture, _: np.clip(128.5 + (picture.astype(np.float32) - 128) * factor, 0, 255).astype(np.uint8)


def _blur(share: float) -> Wear:
    return lambda picture, width: np.asarray(cv2.GaussianBlur(picture, (0, 0), share * width), np.uint8)


WEARS: Final[Mapping[str, Wear]] = {
    "clean": lambda picture, _: picture,
    "1/4 as bright": _light(1 / 4),
    "1/8 as bright": _light(1 / 8),
    "1/16 as bright": _light(1 / 16),
    "1/32 as bright": _light(1 / 32),
    "contrast × 0.3": _contrast(0.3),
    "contrast × 0.15": _contrast(0.15),
    "1.8 times as bright": _light(1.8),
    "3 times as bright": _light(3.0),
    "blur of 2 %": _blur(0.02),
    "blur of 3 %": _blur(0.03),
    "blur of 4 %": _blur(0.04),
    "blur of 6 %": _blur(0.06),
}
"""Light is scaled before JPEG; a blur is Gaussian, its sigma in widths of the face."""


def run(scale: Scale, console: Console) -> Findings:
    """Answer each photograph worn in each way, its face where it was found clean, by the default model."""
    estimator = next(iter(load_models(default_models_dir()).values()))
    faces = _faces(validation_photos(scale, scale.faces))
    if not faces:
        raise SystemExit("no face was found in the labelled photographs")
    rows = {name: _row(wear, faces, estimator) for name, wear in track(WEARS.items(), "wears", console=console)}
    table = Table("worn", *rows["clean"])
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    console.print(table)
    children = sum(photo.age < CHILD_YEARS for photo, _, _ in faces)
    return Findings({}, {"worn": {"faces": len(faces), "children": children, "rows": rows}})


def _faces(photos: list[Labelled]) -> list[tuple[Labelled, Pixels, Face]]:
    """Label, pixels and largest face of each photograph in which one is found."""
    with closing(open_detector(default_models_dir())) as detector:
        pictures = [(photo, decode_image(photo.path.read_bytes()).pixels) for photo in photos]
        found = [(photo, pixels, detector.detect(Pyramid(pixels)).faces) for photo, pixels in pictures]
    return [(photo, pixels, faces[0]) for photo, pixels, faces in found if faces]


def _row(wear: Wear, faces: list[tuple[Labelled, Pixels, Face]], estimator: Estimator) -> dict[str, float]:
    """Errors in years and the interval's coverage, each way the network may see a crop; shares that are warned."""
    manifest = estimator.manifest
    photos = [photo for photo, _, _ in faces]
    youngest, ages = (np.array(each) for each in zip(*((photo.youngest, photo.age) for photo in photos), strict=True))
    cuts = [cut_face(_as_jpeg(wear(pixels, face.box.width)), face, manifest.crop) for _, pixels, face in faces]
    row: dict[str, float] = {}
    for way in WAYS:
        spec = manifest.crop.model_copy(update={"exposure": way})
        pmfs = (estimator.estimate(exposed(cut, spec)[None])[0] for cut in cuts)
        answers = [AgeDistribution.of(pmf) for pmf in pmfs]
        error = np.array([photo.error(answer.median) for photo, answer in zip(photos, answers, strict=True)])
        intervals = np.array([answer.interval(0.9, manifest.bands(), answer.median) for answer in answers])
        covered = (intervals[:, 0] <= ages) & (youngest <= intervals[:, 1])
        warned = [warnings_of_light(cut, spec) for cut in cuts]
        row |= {
            f"{way}: MAE": float(np.abs(error).mean()),
            f"{way}: bias": float(error.mean()),
            f"{way}: children's MAE": float(np.abs(error[ages < CHILD_YEARS]).mean()),
            f"{way}: covered": float(covered.mean()),
            f"{way}: exposure": float(np.mean(["exposure" in names for names in warned])),
        }
    return row | {"blurred": float(np.mean(["blurred" in names for names in warned]))}


def _as_jpeg(picture: Pixels) -> Pixels:
    return decode_image(jpeg(picture)).pixels
