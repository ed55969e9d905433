"""Measure how much worse a model gets on worn and altered versions of the same photographs."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from service.inference.detection.detector import FaceDetector
from service.inference.distribution import IntervalBand
from service.inference.estimator import Estimator
from service.inference.faces import BoundingBox, Pixels
from training.data import wear
from training.evaluation.evaluate import Photograph, Seen, collect, look, progress
from training.evaluation.metrics import GATE
from training.evaluation.predictions import Predictions
from training.evaluation.reliability import coverage

Change = Callable[[Image.Image, BoundingBox], Image.Image]

GREY: Final = (127, 127, 127)
DARK: Final = (20, 20, 20)

EYES: Final = (0.28, 0.71)
EYE_HEIGHT: Final = 0.28
"""Where the eyes are across and down a face's box, in parts of it: medians of 300 faces of `val`."""

CHILDREN: Final = 10
"""Children below this age are measured separately too: worn pictures of them are the first to be read as adults."""

CROP: Final = 160 / 1.08
"""Width of a face's box in the model's crop, in pixels: wear is scaled to the face, whatever the picture's size."""


def _seen(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGB"))


def _worn(change: Callable[[Pixels, float], Pixels]) -> Change:
    """Turn a function of pixels and of the width of one crop pixel among them into a change of a picture."""
    return lambda picture, box: Image.fromarray(change(_seen(picture), box.width / CROP))


def _grainy(sigma: float, width: float) -> Change:
    return _worn(lambda face, pixel: wear.grain(face, sigma, width, np.random.default_rng(0), pixel))


def small_face(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Shrink until the face is 32 pixels wide."""
    factor = min(1.0, 32 / box.width)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def old_print(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Imitate an old black-and-white print: grey, slightly unsharp, grainy, faded and yellowed."""
    pixel = box.width / CROP
    face = wear.blurred(wear.grey(_seen(picture)), 1.5, pixel)
    face = wear.grain(face, 8, 1.0, np.random.default_rng(0), pixel)
    return Image.fromarray(wear.faded(face, 0.8, (12, 2, -14)))


def rotation(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Turn by 20° around the face, corners filled with grey."""
    center = (box.x + box.width / 2, box.y + box.height / 2)
    return picture.rotate(20, Image.Resampling.BICUBIC, center=center, fillcolor=GREY)


def occlusion(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Cover mouth and chin, the lower third of the face, as a mask would."""
    covered = picture.copy()
    top = round(box.y + 2 * box.height / 3)
    covered.paste(GREY, (round(box.x), top, round(box.x + box.width), round(box.y + box.height)))
    return covered


def sunglasses(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Cover both eyes of an upright face with lenses that nothing is seen through."""
    covered = picture.copy()
    for across in EYES:
        x, y = box.x + across * box.width, box.y + EYE_HEIGHT * box.height
        lens = (x - 0.17 * box.width, y - 0.1 * box.height, x + 0.17 * box.width, y + 0.14 * box.height)
        ImageDraw.Draw(covered).ellipse(lens, fill=DARK)
    return covered


def _in_width(factor: float) -> Change:
    """Change the width alone, as a picture shown in a format that is not its own."""
    return lambda picture, _: picture.resize(
        (max(1, round(picture.width * factor)), picture.height), Image.Resampling.LANCZOS
    )


CHANGES: Final[dict[str, Change]] = {
    "grain σ 8 at 1.5 px": _grainy(8, 1.5),
    "grain σ 16 at 0.7 px": _grainy(16, 0.7),
    "grain σ 16 at 1.5 px": _grainy(16, 1.5),
    "grain σ 16 at 3 px": _grainy(16, 3.0),
    "grain σ 16 at 5 px": _grainy(16, 5.0),
    "half-tone": _worn(lambda face, pixel: wear.half_tone(face, 4.0, 0.5, 45.0, pixel)),
    "scan lines": _worn(lambda face, pixel: wear.scan_lines(face, 4.0, 0.35, pixel)),
    "blur": _worn(lambda face, pixel: wear.blurred(face, 4.5, pixel)),
    "faded": _worn(lambda face, _: wear.faded(face, 0.8)),
    "tinted": _worn(lambda face, _: wear.faded(face, 0.4, (16, 3, -20))),
    "quarter of the light": _worn(lambda face, _: wear.exposed(face, -2.0)),
    "lights clipped": _worn(lambda face, _: wear.exposed(face, 1.0)),
    "low contrast": _worn(lambda face, _: wear.flat(face, 0.3)),
    "grey": _worn(lambda face, _: wear.grey(face)),
    "JPEG quality 15": _worn(lambda face, _: wear.compressed(face, 15)),
    "JPEG twice": _worn(lambda face, _: wear.compressed_twice(face, 25, 25)),
    "border": _worn(lambda face, _: wear.bordered(face, 0.05, 255)),
    "small face": small_face,
    "old print": old_print,
    "rotation by 20°": rotation,
    "lower third covered": occlusion,
    "sunglasses": sunglasses,
    "squeezed to 3/4 of the width": _in_width(3 / 4),
    "stretched to 4/3 of the width": _in_width(4 / 3),
}


def changed(data: bytes, box: BoundingBox, change: Change) -> bytes:
    """Apply a change to an encoded picture with a face in `box` (pixels upright); PNG, so nothing else is lost."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    stream = io.BytesIO()
    change(picture, box).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def robustness(
    estimators: Mapping[str, Estimator],
    make_detector: Callable[[], FaceDetector],
    shown: Sequence[Photograph],
    *,
    workers: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Measure each model on every change of the photographs in which a face was found before; return rows by model.

    The changed photographs go through detector and crop again, as a caller's would.
    """
    reads = [photograph.read for photograph in shown]
    plain = list(progress(look(estimators, make_detector, reads, workers=workers), len(shown), "unchanged"))
    first = next(iter(estimators))
    found = [(photograph, each[first].box, each) for photograph, each in zip(shown, plain, strict=True)]
    kept = [(photograph, box, each) for photograph, box, each in found if box is not None]
    photographs = [photograph for photograph, _, _ in kept]
    clean = {name: [each[name] for _, _, each in kept] for name in estimators}
    rows = {name: [_row("unchanged", photographs, clean[name], clean[name], m)] for name, m in estimators.items()}
    for title, change in CHANGES.items():
        pictures = [_changed_reader(photograph, box, change) for photograph, box, _ in kept]
        seen = list(progress(look(estimators, make_detector, pictures, workers=workers), len(pictures), title))
        for name, estimator in estimators.items():
            rows[name].append(_row(title, photographs, [each[name] for each in seen], clean[name], estimator))
    return rows


def _changed_reader(photograph: Photograph, box: BoundingBox, change: Change) -> Callable[[], bytes]:
    return lambda: changed(photograph.read(), box, change)


def _row(
    title: str, shown: Sequence[Photograph], seen: Sequence[Seen], clean: Sequence[Seen], estimator: Estimator
) -> dict[str, Any]:
    predictions = collect(shown, seen, estimator.manifest.decode)
    found = len(predictions)
    bands = estimator.manifest.bands()
    row: dict[str, Any] = {
        "group": title,
        "n": len(shown),
        "detection_rate": found / max(len(shown), 1),
        **_figures(predictions, bands),
    }
    row |= _beside_clean(row["mae"], shown, seen, clean, estimator.manifest.decode)
    children = predictions.where(predictions.high < CHILDREN)
    return {**row, "children": {"n": len(children), **_figures(children, bands)}, **_adult_minors(predictions)}


def _beside_clean(
    mae: float, shown: Sequence[Photograph], seen: Sequence[Seen], clean: Sequence[Seen], decode: str
) -> dict[str, float]:
    """Return the mean error of the faces found again as they were before the change, and `mae` in parts of it."""
    again = [each.pmf is not None for each in seen]
    error = collect(list(compress(shown, again)), list(compress(clean, again)), decode).error
    before = float(error.mean()) if len(error) else float("nan")
    return {"clean_mae": before, "over_clean": mae / before if before else float("nan")}


def _figures(predictions: Predictions, bands: Sequence[IntervalBand]) -> dict[str, float]:
    """Error, bias and its spread in years, coverage of the 90 % interval, its 95 % range and mean width in ages."""
    covered = ("coverage", "coverage_low", "coverage_high", "width")
    if not len(predictions):
        return dict.fromkeys(("mae", "bias", "spread", *covered), float("nan"))
    ninety = coverage(predictions, 0.9, bands)
    return {
        "mae": float(predictions.error.mean()),
        "bias": float(predictions.bias.mean()),
        "spread": float(np.std(predictions.bias)),
        **{key: ninety.get(key, float("nan")) for key in covered},
    }


def _adult_minors(predictions: Predictions) -> dict[str, float]:
    """Return the shares of children under ten and of people under 15 whose estimated age is over 18."""
    shares = {}
    for name, below in (("children_over_18", CHILDREN), ("under_15_over_18", 15)):
        young = predictions.where(predictions.high < below)
        shares[name] = float((young.age > GATE).mean()) if len(young) else float("nan")
    return shares
