"""What time, printing and copying do to a picture of a face: grain, screens, faded dyes, bad light, poor copies.

Every kind of wear is a function of a face uint8 [h, w, 3], its strength and `pixel`, the side in the picture's pixels
of one pixel of the model's 160-pixel crop, so that training (on crops, `pixel` 1) and evaluation (on photographs of any
size) show the same wear. Equal generators give equal pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from service.inference.faces import Pixels

LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


def clipped(values: NDArray[np.floating]) -> Pixels:
    """Round to whole shades and cut to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def grain(
    face: Pixels, sigma: float, width: float, rng: Generator, pixel: float = 1.0, coloured: bool = False
) -> Pixels:
    """Add noise of standard deviation `sigma` shades whose neighbours resemble each other over `width` crop pixels.

    Film, scans and half-tone leave it. White noise is width 0: a network that has only seen that takes grain for
    wrinkles.
    """
    # Where a crop pixel is many pixels of the photograph the field is drawn coarse and enlarged: the same grain.
    shrink = max(1.0, pixel * width / 1.5) if width else 1.0
    rows, columns = (max(2, ceil(side / shrink)) for side in face.shape[:2])
    field = rng.standard_normal((rows, columns, 3 if coloured else 1), dtype=np.float32)
    if width:
        field = cv2.GaussianBlur(field, (0, 0), width * pixel / shrink)
    if field.shape[:2] != face.shape[:2]:
        field = cv2.resize(field, face.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    field = field.reshape(*face.shape[:2], -1)
    return clipped(face + field * np.float32(sigma / max(float(field.std()), 1e-6)))


def half_tone(face: Pixels, period: float, depth: float, angle_deg: float, pixel: float = 1.0) -> Pixels:
    """Print the picture in dots, `period` crop pixels apart on a screen at an angle; `depth` 0..1 of their contrast."""
    y, x = np.mgrid[: face.shape[0], : face.shape[1]].astype(np.float32) * np.float32(2 * np.pi / (period * pixel))
    turn = np.deg2rad(angle_deg)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    screen = (np.cos(u) + np.cos(v))[..., None] / 4
    shade = face.astype(np.float32) / 255
    # Dots change a middle tone most and leave paper and ink alone.
    return clipped(255 * (shade + depth * screen * 4 * shade * (1 - shade)))


def scan_lines(face: Pixels, period: float, depth: float, pixel: float = 1.0) -> Pixels:
    """Darken lines across the picture, `period` crop pixels apart, as a screen filmed or a poor scan has them."""
    rows = np.arange(face.shape[0], dtype=np.float32) * np.float32(2 * np.pi / (period * pixel))
    return clipped(face * (1 - depth * (1 + np.cos(rows)) / 2)[:, None, None])


def blurred(face: Pixels, width: float, pixel: float = 1.0) -> Pixels:
    """Blur with a Gaussian of `width` crop pixels."""
    return np.asarray(cv2.GaussianBlur(face, (0, 0), width * pixel), dtype=np.uint8)


def faded(face: Pixels, share: float, tint: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Pixels:
    """Take colour and contrast away, lift the blacks, and add a tint in shades (an old print's is warm)."""
    colour = face.astype(np.float32)
    grey = (colour @ LUMA)[..., None]
    kept = (1 - share) * colour + share * grey
    return clipped(kept * (1 - 0.5 * share) + 60 * share + np.asarray(tint, np.float32))


def exposed(face: Pixels, stops: float) -> Pixels:
    """Change the exposure by `stops`: each doubles the shade values, cut off at white."""
    return clipped(face.astype(np.float32) * np.float32(2.0**stops))


def flat(face: Pixels, contrast: float) -> Pixels:
    """Keep `contrast` 0..1 of the picture's, around its mean shade."""
    mean = np.float32(face.mean())
    return clipped(mean + contrast * (face.astype(np.float32) - mean))


def compressed(face: Pixels, quality: int) -> Pixels:
    """Pass through JPEG, whose artefacts look like skin texture to a network."""
    _, data = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)


def compressed_twice(face: Pixels, first: int, second: int) -> Pixels:
    """Compress, shrink a little and enlarge again, compress: what passing a picture on does."""
    rows, columns = face.shape[:2]
    once = compressed(face, first)
    small = cv2.resize(once, (max(8, columns * 7 // 8), max(8, rows * 7 // 8)), interpolation=cv2.INTER_AREA)
    return compressed(np.asarray(cv2.resize(small, (columns, rows)), dtype=np.uint8), second)


def small(face: Pixels, side: int, pixel: float = 1.0) -> Pixels:
    """Shrink until 160 crop pixels are `side` pixels, and enlarge again."""
    factor = side / (160 * pixel)
    if factor >= 1:
        return face
    rows, columns = face.shape[:2]
    tiny = (max(2, round(columns * factor)), max(2, round(rows * factor)))
    return np.asarray(cv2.resize(cv2.resize(face, tiny, interpolation=cv2.INTER_AREA), (columns, rows)), dtype=np.uint8)


def grey(face: Pixels) -> Pixels:
    """Take the colour away."""
    return clipped(np.repeat((face.astype(np.float32) @ LUMA)[..., None], 3, axis=2))


def bordered(face: Pixels, share: float, shade: int) -> Pixels:
    """Cover a frame of `share` of the side with one shade: a print's white border, a scan's black one."""
    rows, columns = (round(share * side) for side in face.shape[:2])
    framed = np.full_like(face, shade)
    inside = (slice(rows, face.shape[0] - rows), slice(columns, face.shape[1] - columns))
    framed[inside] = face[inside]
    return framed


Kind = Callable[[Pixels, Generator], Pixels]


def _grain(face: Pixels, rng: Generator) -> Pixels:
    width = float(np.exp(rng.uniform(np.log(0.5), np.log(5.0))))
    return grain(face, rng.uniform(2, 22), width, rng, coloured=rng.random() < 0.2)


def _faded(face: Pixels, rng: Generator) -> Pixels:
    warm = rng.uniform(-0.5, 1.0)
    return faded(face, rng.uniform(0.2, 1.0), (14 * warm, 2 * warm, -18 * warm))


KINDS: Final[tuple[tuple[float, Kind], ...]] = (
    (5.0, _grain),
    (1.0, lambda f, r: half_tone(f, r.uniform(2.5, 6), r.uniform(0.15, 0.7), r.uniform(0, 90))),
    (0.6, lambda f, r: scan_lines(f, r.uniform(2.5, 6), r.uniform(0.1, 0.5))),
    (1.2, lambda f, r: blurred(f, r.uniform(0.5, 4.5))),
    (1.2, _faded),
    (1.6, lambda f, r: exposed(f, -r.uniform(0.5, 2.4))),
    (0.8, lambda f, r: exposed(f, r.uniform(0.3, 1.1))),
    (1.2, lambda f, r: flat(f, r.uniform(0.2, 0.7))),
    (1.0, lambda f, r: compressed_twice(f, int(r.integers(12, 60)), int(r.integers(12, 70)))),
    (1.0, lambda f, r: small(f, int(np.exp(r.uniform(np.log(24), np.log(100)))))),
    (1.5, lambda f, r: grey(f)),  # noqa: ARG005 - all kinds take a generator
    (0.4, lambda f, r: bordered(f, r.uniform(0.02, 0.1), int(r.choice([0, 255, int(r.integers(256))])))),
)
"""How often, and what: grain first, since it is what misled every model that had not been shown it."""


def worn(face: Pixels, rng: Generator) -> Pixels:
    """Wear a crop uint8 [h, w, 3] in one to three ways, as old prints and passed-on copies are."""
    weights = np.array([weight for weight, _ in KINDS])
    chosen = rng.choice(
        len(KINDS), rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]), replace=False, p=weights / weights.sum()
    )
    for kind in chosen:
        face = KINDS[kind][1](face, rng)
    return face
