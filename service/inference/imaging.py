"""Bytes to pixels, and pixels to upright face crops: the only geometry, used by the service and by training."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from service.errors import CorruptPicture, PictureTooLarge, UnsupportedPicture
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.manifest import CropSpec

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_SIDE: Final = 30_000
"""Longest side in pixels; OpenCV's remap addresses pixels with 16 bits."""

# The limit on pixels is `decode_image`'s own; Pillow's warns by a filter that is not safe between threads.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION_TAG: Final = 0x0112
_SWAPS_SIDES: Final = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class Photo:
    """An upright RGB picture; `width` and `height` are the photograph's, `pixels` may be a smaller decode."""

    pixels: Pixels
    width: int
    height: int

    @property
    def scale(self) -> float:
        """Decoded pixels per photograph pixel, 0 < scale ≤ 1."""
        return int(self.pixels.shape[1]) / self.width


def decode_image(data: bytes, *, max_pixels: int = 50_000_000, min_side: int | None = None) -> Photo:
    """Decode a picture to upright RGB, uint8 [height, width, 3].

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits and the first frame
    of an animation is taken. With `min_side` a JPEG may be decoded at 1/2, 1/4 or 1/8 as long as its shorter side
    keeps at least that many pixels.

    Raises:
        UnsupportedPicture: the bytes are not of a format in `FORMATS`.
        PictureTooLarge: the header claims more than `max_pixels`, or a side over `MAX_SIDE`; nothing was decoded.
        CorruptPicture: the picture is truncated or damaged.
    """
    image = _open(data)
    _check_size(image.width, image.height, max_pixels)
    width, height = image.size
    try:
        if min_side is not None and image.format in ("JPEG", "MPO"):
            _draft(image, min_side)
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        image.load()
        upright = ImageOps.exif_transpose(_to_rgb(image))
    except Exception as error:  # Pillow's plugins, zlib and struct raise types of their own on damaged files
        raise CorruptPicture("the picture is truncated or damaged; send a complete file") from error
    if orientation in _SWAPS_SIDES:
        width, height = height, width
    return Photo(np.asarray(upright), width, height)


class Pyramid:
    """A picture and its halvings by area means, made when first asked for and kept for further faces."""

    def __init__(self, pixels: Pixels) -> None:
        """Start from uint8 [height, width, 3]; nothing is computed yet."""
        self._levels = [pixels]

    @property
    def pixels(self) -> Pixels:
        """The picture at its full size."""
        return self._levels[0]

    def reduced(self, step: float) -> tuple[Pixels, int]:
        """Return the coarsest level that still has a pixel per `step` pixels, and its factor 1, 2, 4, …."""
        level = max(0, math.floor(math.log2(step))) if step > 1 else 0
        while len(self._levels) <= level:
            last = self._levels[-1]
            height, width = last.shape[:2]
            if min(height, width) < 4:
                break
            even = last[: height // 2 * 2, : width // 2 * 2]
            half = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            self._levels.append(np.asarray(half, dtype=np.uint8))
        level = min(level, len(self._levels) - 1)
        return self._levels[level], 2**level


def crop_face(picture: Pixels | Pyramid, face: Face, spec: CropSpec, bleed: int = 0) -> Pixels:
    """Cut `face` out upright, uint8 [size + 2·bleed, size + 2·bleed, 3]; black beyond the picture's border.

    The crop's `spec.size` pixels cover `1 + 2·margin` box widths around the box's centre, turned so that the eyes
    lie level. `bleed` adds pixels around at the same scale: the centre window of a bled crop is the unbled crop,
    bit for bit, since both take the same samples. A `Pyramid` shares its halvings between the faces of a picture.
    """
    pyramid = picture if isinstance(picture, Pyramid) else Pyramid(picture)
    step = crop_step(face, spec)
    source, factor = pyramid.reduced(step)
    offsets = np.arange(spec.size + 2 * bleed, dtype=np.float64) - (spec.size + 2 * bleed - 1) / 2
    angle = eye_angle(face) if spec.alignment == "eyes" else 0.0
    along, across = step * math.cos(angle), step * math.sin(angle)
    u, v = offsets[None, :], offsets[:, None]
    center_x, center_y = face.box.center
    x = center_x + (along * u - across * v)
    y = center_y + (across * u + along * v)
    return _sample(source, _pixel_index(x, factor), _pixel_index(y, factor))


def crop_step(face: Face, spec: CropSpec) -> float:
    """Picture pixels per crop pixel: below one the crop is upsampled."""
    side = max(face.box.width, face.box.height) * (1 + 2 * spec.margin)
    return max(side, 1.0) / spec.size


def whole_picture(photo: Photo, spec: CropSpec) -> Face:
    """Return a face without landmarks whose crop is the whole picture: for callers who cut faces themselves."""
    height, width = photo.pixels.shape[:2]
    side = max(height, width) / (1 + 2 * spec.margin)
    return Face(BoundingBox((width - side) / 2, (height - side) / 2, side, side), 1.0, ())


def eye_angle(face: Face) -> float:
    """Roll of the face in radians: the direction from the person's right eye to the left; 0 without landmarks."""
    if not face.landmarks:
        return 0.0
    (rx, ry), (lx, ly) = face.landmarks[0], face.landmarks[1]
    return math.atan2(ly - ry, lx - rx)


def _pixel_index(position: NDArray[np.float64], factor: int) -> NDArray[np.float32]:
    """Continuous position → index of a pixel centre in the picture reduced by `factor`."""
    return (position / factor - 0.5).astype(np.float32)


def _sample(source: Pixels, x: NDArray[np.float32], y: NDArray[np.float32]) -> Pixels:
    sampled = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0))
    return np.asarray(sampled, dtype=np.uint8)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnsupportedPicture("the picture is empty (0 bytes); send a JPEG, PNG or WebP file")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnsupportedPicture("not a picture the service reads; send JPEG, PNG or WebP") from error
    except Exception as error:  # a known signature followed by a broken header
        raise CorruptPicture("the picture's header is damaged; send a complete file") from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise PictureTooLarge(
            f"the picture claims {width} x {height} pixels; at most {max_pixels:,} in all and {MAX_SIDE:,} a side"
        )


def _draft(image: Image.Image, min_side: int) -> None:
    """Let libjpeg decode at a half, quarter or eighth while the shorter side keeps `min_side` pixels."""
    ratio = min(image.size) // max(min_side, 1)
    divisor = 8 if ratio >= 8 else 4 if ratio >= 4 else 2 if ratio >= 2 else 1
    if divisor > 1:
        image.draft("RGB" if image.mode != "L" else "L", (image.width // divisor, image.height // divisor))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB and keep the EXIF that says which way is up."""
    exif = image.getexif()
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        image = _from_deep_grey(image)
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    rgb = image.convert("RGB")
    rgb.info.pop("exif", None)
    if _ORIENTATION_TAG in exif:
        rgb.getexif()[_ORIENTATION_TAG] = exif[_ORIENTATION_TAG]
    return rgb


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Scale 16-bit (or wider, or float) grey to 8 bits: 65535 → 255, unless the values fit 8 bits already."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=65535.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    if 0 < top <= 1.0 and image.mode == "F":
        values = values * 255
    elif top > 255:
        values = values / 257
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))
