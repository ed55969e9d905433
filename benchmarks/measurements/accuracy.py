"""What speed costs in years: photographs of known age set into 12-megapixel scenes, faces of 40 to 800 pixels."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from benchmarks.figures import Findings
from benchmarks.labelled import Labelled, validation_photos
from benchmarks.pictures import PHONE, jpeg, paste, scene
from benchmarks.scale import Scale
from service.inference.detection.detector import open_detector
from service.inference.estimator import Estimator
from service.inference.lockfile import ModelLock
from service.inference.options import PredictOptions
from service.inference.pipeline import Pipeline, load_models
from service.settings import load_settings

SMALLEST, LARGEST = 40, 800
FACE_SHARE = 0.62
"""Width of a face's box over that of the photographs it is set in by; only says which sizes are tried."""

Ages = dict[str, list[float | None]]


def run(scale: Scale, console: Console) -> Findings:
    """Compare the reduced decode with a full one by the default model, and each int8 model with its float32 one."""
    folder = load_settings().models_folder
    names = _model_names(folder)
    photos = validation_photos(scale, scale.scenes)
    found: Ages = {f"{name} {way}": [] for name in names for way in ("reduced", "full")}
    estimators = load_models(folder, names)
    pipeline = Pipeline(open_detector(folder), estimators, names[0])
    for number, photo in enumerate(track(photos, "scenes", console=console)):
        picture, center, side = _set_into_scene(photo, number, len(photos))
        full = _uncompressed(picture)
        for name in names:
            options = PredictOptions(model=name)
            found[f"{name} reduced"].append(_age_at(pipeline, picture, options, center, side))
            found[f"{name} full"].append(_age_at(pipeline, full, options, center, side))
    precisions = {name: estimators[name].manifest.precision for name in names}
    families = {name: estimators[name].manifest.family for name in names}
    changes = {f"{name}: reduced decode": _change(found, photos, f"{name} full", f"{name} reduced") for name in names}
    for name in names:
        for other in names:
            if (precisions[name], precisions[other]) == ("float32", "int8") and families[name] == families[other]:
                changes[f"{other}: int8"] = _change(found, photos, f"{name} reduced", f"{other} reduced")
    for what, (change, both, before, after) in changes.items():
        console.print(f"{what}: {change:+.3f} years over {both} faces; found {before} before, {after} after")
    worst = max(change for change, *_ in changes.values())
    return Findings({"mae_change": worst}, {"mae_change": {what: list(each) for what, each in changes.items()}})


def _model_names(folder: Path) -> list[str]:
    entries = ModelLock.read(folder).of_kind("model")
    return [Estimator(folder / entry.file, entry.sha256).manifest.name for entry in entries]


def _set_into_scene(photo: Labelled, number: int, count: int) -> tuple[bytes, tuple[float, float], int]:
    """Set a photograph into a scene so that faces grow evenly on a logarithmic scale; say where its middle is."""
    share = number / max(1, count - 1)
    face = math.exp(math.log(SMALLEST) + share * (math.log(LARGEST) - math.log(SMALLEST)))
    side = int(face / FACE_SHARE)
    pixels = np.asarray(Image.open(photo.path).convert("RGB"))
    square = pixels[: min(pixels.shape[:2]), : min(pixels.shape[:2])]
    width, height = PHONE
    rng = np.random.default_rng(number)
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    canvas = scene(width, height, seed=number % 8)
    paste(canvas, square, side, x, y)
    return jpeg(canvas), (x + side / 2, y + side / 2), side


def _uncompressed(picture: bytes) -> bytes:
    """Return the same pixels as a PNG, which is always decoded in full."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _age_at(
    pipeline: Pipeline, picture: bytes, options: PredictOptions, center: tuple[float, float], side: int
) -> float | None:
    faces = pipeline.predict(picture, options).faces
    near = [face for face in faces if math.dist(face.face.box.center, center) < side / 3]
    return near[0].age if near else None


def _change(found: Ages, photos: list[Labelled], before: str, after: str) -> tuple[float, int, int, int]:
    """Change of the mean absolute error over faces that both found, their number, and how many each found."""
    triples = zip(found[before], found[after], photos, strict=True)
    pairs = [(old, new, photo) for old, new, photo in triples if old is not None and new is not None]
    if not pairs:
        raise SystemExit(f"{before} and {after} found no face together")
    change = sum(abs(photo.error(new)) - abs(photo.error(old)) for old, new, photo in pairs) / len(pairs)
    counts = [sum(age is not None for age in found[way]) for way in (before, after)]
    return change, len(pairs), counts[0], counts[1]
