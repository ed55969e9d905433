"""Pictures for trackers: faces with predicted ages, the worst errors, the error by age, the reliability diagram."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from service.inference.distribution import AgeDistribution
from service.inference.faces import Pixels
from training.data.store import FaceSet, Integers
from training.measures.validation import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION_PX = 16
HEADING_PX = 24
HEADING = "true age > predicted age (90 % interval)"
TILE_PX = 128
INTERVAL = 0.9
SHOWN = 24
BAND_YEARS = 5
RELIABILITY_AGES = (13, 18, 25, 60)
RELIABILITY_BINS = 10
FACES_IN_A_BIN = 10
"""Fewer show a share that is mostly chance, so that a small set has fewer bins."""

ENOUGH = 10
"""Faces of a band of ages below which its error is drawn hollow: it is mostly chance."""

Curve = tuple[int, list[float], list[float]]


def pictures(faces: FaceSet, scores: Scores, size: int) -> dict[str, Pixels]:
    """Return the pictures of an epoch, each uint8 [h, w, 3], by name."""
    return {
        "faces": face_grid(faces, scores, spread(faces, SHOWN), size),
        "worst_errors": face_grid(faces, scores, worst(scores, SHOWN), size),
        "age_error": age_error_curve(age_error_bands(faces, scores)),
        "reliability": reliability_diagram(reliability_curves(faces, scores)),
    }


def spread(faces: FaceSet, count: int) -> Integers:
    """Return up to `count` places in the set, evenly over the ages, int64 [n]."""
    by_age = np.argsort(faces.low, kind="stable")
    return by_age[np.linspace(0, len(by_age) - 1, min(count, len(by_age))).astype(int)]


def worst(scores: Scores, count: int) -> Integers:
    """Return the places of the largest errors, worst first, int64 [n]."""
    return np.argsort(-scores.errors, kind="stable")[:count]


def face_grid(faces: FaceSet, scores: Scores, places: Integers, size: int, columns: int = 6) -> Pixels:
    """Draw faces in rows under a heading, each over what it says: true and predicted age, interval; uint8 [h, w, 3]."""
    tiles = [_tile(faces, scores, int(place), size) for place in places]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    heading = np.zeros((HEADING_PX, rows[0].shape[1], 3), dtype=np.uint8)
    _write(heading, HEADING, HEADING_PX - 8)
    return np.vstack([heading, *rows])


def caption(faces: FaceSet, scores: Scores, place: int) -> str:
    """Return what stands under a face: true age or group, predicted age, 90 % interval."""
    low, high = faces.low[place], faces.high[place]
    true = f"{low}" if low == high else f"{low}-{high}"
    youngest, oldest = AgeDistribution.of(scores.pmf[place]).interval(INTERVAL, (), float(scores.ages[place]))
    return f"{true} > {scores.ages[place]:.0f} ({youngest}-{oldest})"


def _tile(faces: FaceSet, scores: Scores, place: int, size: int) -> Pixels:
    face = faces.faces(np.array([place]), size)[0]
    tile = np.zeros((TILE_PX + CAPTION_PX, TILE_PX, 3), dtype=np.uint8)
    tile[:TILE_PX] = cv2.resize(face, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
    _write(tile, caption(faces, scores, place), TILE_PX + CAPTION_PX - 4)
    return tile


def _write(picture: Pixels, words: str, bottom: int) -> None:
    cv2.putText(picture, words, (2, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)


def age_error_bands(faces: FaceSet, scores: Scores) -> list[tuple[int, float, int]]:
    """Return (first age, mean absolute error in years, faces) of each five-year band of true age that has faces."""
    band = (faces.low + faces.high) // 2 // BAND_YEARS
    return [
        (int(each) * BAND_YEARS, float(scores.errors[band == each].mean()), int((band == each).sum()))
        for each in np.unique(band)
    ]


def age_error_curve(bands: Sequence[tuple[int, float, int]]) -> Pixels:
    """Plot the error along the age; bands of fewer than `ENOUGH` faces as hollow dots off the line; uint8 [h, w, 3]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    many, few = ([band for band in bands if (band[2] >= ENOUGH) is known] for known in (True, False))
    if many:
        axes.plot(*_middles(many), marker="o", label=f"{ENOUGH} faces or more")
    if few:
        axes.plot(*_middles(few), "o", color="C0", fillstyle="none", label=f"fewer than {ENOUGH} faces")
        axes.legend()
    axes.set(xlabel="true age (years)", ylabel="mean absolute error (years)", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    return _pixels(figure)


def _middles(bands: Iterable[tuple[int, float, int]]) -> tuple[list[float], list[float]]:
    return [first + BAND_YEARS / 2 for first, _, _ in bands], [error for _, error, _ in bands]


def reliability_curves(faces: FaceSet, scores: Scores) -> list[Curve]:
    """Return, for each age t, the mean P(age ≥ t) and the observed share of each bin; bins have equally many faces.

    The probabilities are those before calibration. Faces whose label lies on both sides of t are left out.
    """
    curves = []
    for age in RELIABILITY_AGES:
        sided = (faces.low >= age) | (faces.high < age)
        probability, older = scores.pmf[sided, age:].sum(axis=1), faces.low[sided] >= age
        order = np.argsort(probability, kind="stable")
        count = min(RELIABILITY_BINS, max(1, len(order) // FACES_IN_A_BIN))
        bins = [each for each in np.array_split(order, count) if len(each)]
        curves.append((age, [float(probability[each].mean()) for each in bins], [older[each].mean() for each in bins]))
    return curves


def reliability_diagram(curves: Sequence[Curve]) -> Pixels:
    """Plot observed shares against predicted probabilities, a panel for each age, uint8 [h, w, 3]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(curves), 3.2), dpi=100, layout="constrained")
    title = "Share of the faces of val who are so old, against the predicted probability (before calibration)"
    figure.suptitle(title, fontsize=10)
    for number, (age, predicted, observed) in enumerate(curves, 1):
        axes = figure.add_subplot(1, len(curves), number)
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
        axes.plot(predicted, observed, marker="o")
        axes.set(title=f"P(age ≥ {age})", xlabel="predicted", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set_ylabel("observed" if number == 1 else "")
    return _pixels(figure)


def _pixels(figure: Figure) -> Pixels:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))
