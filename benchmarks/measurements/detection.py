"""What finding faces costs, in calls of the short-range network: one face in 640 × 480, ten in 1600 × 1200."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.figures import Findings, Spread
from benchmarks.pictures import group_photo, small_photo
from benchmarks.scale import Scale
from service.inference.decoding.photo import decode_image
from service.inference.detection.blazeface.network import BlazeFace
from service.inference.detection.detector import SHORT_RANGE, open_detector
from service.inference.imaging import Pyramid
from service.inference.lockfile import default_models_dir
from service.inference.pipeline import DETECTION_SIDE, Pipeline, load_models

FACES: Final = 10


def run(scale: Scale, console: Console) -> Findings:
    """Measure processor time in turns, so that a busy machine is busy for all alike."""
    cv2.setNumThreads(1)
    folder = default_models_dir()
    models = load_models(folder)
    detector, default = open_detector(folder), next(iter(models))
    pipeline, estimator = Pipeline(detector, models, default), models[default]
    judge, view = BlazeFace(folder / SHORT_RANGE, 0.2), np.zeros((1, 128, 128, 3), np.uint8)
    size = estimator.manifest.crop.size
    face, small, group = np.zeros((1, size, size, 3), np.uint8), small_photo(), decode_image(group_photo()).pixels
    found = len(pipeline.predict(small).faces), len(detector.detect(Pyramid(group)).faces)
    if found != (1, FACES):
        raise SystemExit(f"the pictures hold 1 and {FACES} faces, found were {found[0]} and {found[1]}")
    ways: dict[str, Callable[[], object]] = {
        "request": lambda: pipeline.predict(small),
        "decode": lambda: decode_image(small, min_side=DETECTION_SIDE),
        "short range": lambda: judge.find(view),
        "estimate": lambda: estimator.estimate(face),
        "ten faces": lambda: detector.detect(Pyramid(group)),
    }
    rounds = [_round(ways) for _ in track(range(max(3, scale.repeats // 10)), "rounds", console=console)]
    console.print({name: f"{np.median([each[name] for each in rounds]):.2f} ms" for name in ways})
    parts = ("decode", "short range", "estimate")
    spreads = {
        "request_over_parts": Spread(tuple(each["request"] / sum(each[part] for part in parts) for each in rounds)),
        "ten_faces_over_calls": Spread(tuple(each["ten faces"] / (FACES * each["short range"]) for each in rounds)),
    }
    figures = {name: spread.median for name, spread in spreads.items()}
    return Findings(figures, {"detection": {name: spread.facts() for name, spread in spreads.items()}})


def _round(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return milliseconds of processor time a call: of each way the least of ten, one after the other."""
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(10):
        for name, way in ways.items():
            start = time.process_time()
            way()
            least[name] = min(least[name], 1e3 * (time.process_time() - start))
    return least
