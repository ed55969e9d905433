"""Measure how much worse a model gets on harder versions of the same photographs."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from service.inference.detector import FaceDetector
from service.inference.estimator import Estimator
from service.inference.faces import BoundingBox
from training.evaluation.evaluate import Photograph, Seen, collect, look, progress

Change = Callable[[Image.Image, BoundingBox], Image.Image]

GREY: Final = (127, 127, 127)

YELLOWED: Final = (12, 2, -14)
"""What an old print's paper adds to red, green and blue."""


def grey(picture: Image.Image, box: BoundingBox) -> Image.Image:  # noqa: ARG001 - all changes take a face
    """Take the colour away."""
    return ImageOps.grayscale(picture).convert("RGB")


def blur(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Blur with a Gaussian whose sigma is 3 % of the face's width: details below a fifteenth of the face are gone."""
    return picture.filter(ImageFilter.GaussianBlur(0.03 * box.width))


def small_face(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Shrink until the face is 32 pixels wide."""
    factor = min(1.0, 32 / box.width)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def jpeg(picture: Image.Image, box: BoundingBox) -> Image.Image:  # noqa: ARG001 - all changes take a face
    """Compress to JPEG quality 15 and back."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=15)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def old_print(picture: Image.Image, box: BoundingBox) -> Image.Image:
    """Make it a faded print of before colour: grey, a little unsharp, grainy, blacks lifted, yellowed."""
    soft = ImageOps.grayscale(picture).filter(ImageFilter.GaussianBlur(0.01 * box.width))
    light = np.asarray(soft, dtype=np.float32)
    # The grain is as large on the face as it would be on a print: it does not follow the picture's pixels.
    rows, columns = (max(1, round(160 * side / box.width)) for side in (picture.height, picture.width))
    coarse = np.random.default_rng(0).normal(0, 8, (rows, columns)).astype(np.float32)
    grain = np.asarray(Image.fromarray(coarse).resize(picture.size, Image.Resampling.BILINEAR))
    faded = 60 + 0.6 * (light + grain)
    return Image.fromarray((faded[..., None] + np.array(YELLOWED)).clip(0, 255).astype(np.uint8))


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


CHANGES: Final[dict[str, Change]] = {
    "grey": grey,
    "blur": blur,
    "small face": small_face,
    "JPEG quality 15": jpeg,
    "old print": old_print,
    "rotation by 20°": rotation,
    "lower third covered": occlusion,
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
    """MAE and detection rate of each model on each change of the photographs in which it found a face unchanged.

    The changed photographs go through detector and crop again, as a caller's would.
    """
    reads = [photograph.read for photograph in shown]
    plain = list(progress(look(estimators, make_detector, reads, workers=workers), len(shown), "unchanged"))
    first = next(iter(estimators))
    found = [(photograph, each[first].box, each) for photograph, each in zip(shown, plain, strict=True)]
    kept = [(photograph, box, each) for photograph, box, each in found if box is not None]
    photographs = [photograph for photograph, _, _ in kept]
    rows = {name: [_row("unchanged", photographs, [e[name] for _, _, e in kept], m)] for name, m in estimators.items()}
    for title, change in CHANGES.items():
        pictures = [_changed_reader(photograph, box, change) for photograph, box, _ in kept]
        seen = list(progress(look(estimators, make_detector, pictures, workers=workers), len(pictures), title))
        for name, estimator in estimators.items():
            rows[name].append(_row(title, photographs, [each[name] for each in seen], estimator))
    return rows


def _changed_reader(photograph: Photograph, box: BoundingBox, change: Change) -> Callable[[], bytes]:
    return lambda: changed(photograph.read(), box, change)


def _row(title: str, shown: Sequence[Photograph], seen: Sequence[Seen], estimator: Estimator) -> dict[str, Any]:
    predictions = collect(shown, seen, estimator.manifest.decode)
    found = len(predictions)
    return {
        "group": title,
        "n": len(shown),
        "detection_rate": found / max(len(shown), 1),
        "mae": float(predictions.error.mean()) if found else float("nan"),
        "bias": float(predictions.bias.mean()) if found else float("nan"),
        "spread": float(np.std(predictions.bias)) if found else float("nan"),
    }
