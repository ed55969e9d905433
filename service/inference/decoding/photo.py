"""Bytes to an upright picture in RGB. Imports no more than that takes: the processes that decode import only this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from service.errors import CorruptPicture, PictureError, PictureTooLarge
from service.inference.decoding.formats import open_picture
from service.inference.decoding.jpeg import MAX_SIDE, SCALES, fitting_scales, has_several_scans, load_jpeg

if TYPE_CHECKING:
    from service.inference.faces import Pixels

CLAIM_OF_JPEG: Final = 4
"""So many times the limit of pixels may a JPEG have that is decoded at a scale which keeps the limit."""


@dataclass(frozen=True, slots=True)
class Photo:
    """An upright RGB picture; `width` and `height` are the photograph's, `pixels` may be a smaller decode.

    `priced_s`: upper estimate of the processor seconds that one decode takes.
    """

    pixels: Pixels
    width: int
    height: int
    priced_s: float = 0.0

    @property
    def scale(self) -> float:
        """Decoded pixels per photograph pixel, 0 < scale ≤ 1."""
        return int(self.pixels.shape[1]) / self.width


def decode_image(data: bytes, *, max_pixels: int = 50_000_000, min_side: int | None = None) -> Photo:
    """Decode a picture to upright RGB, uint8 [height, width, 3].

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits and the first frame
    of an animation is taken. A JPEG may be decoded at 1/2, 1/4 or 1/8: with `min_side` as long as its shorter side
    keeps so many pixels, and where it would have more than `max_pixels` otherwise.

    Raises:
        EmptyPicture: there are no bytes.
        UnsupportedPicture: the bytes are not of a format in `formats.READ`.
        PictureTooLarge: it would be decoded to more than `max_pixels`, or to a side over `MAX_SIDE`; nothing was.
        CorruptPicture: the picture is truncated or damaged.
    """
    image: Image.Image = open_picture(data)
    width, height = image.size
    divisor = _divisor(image, data, max_pixels, min_side)
    try:
        image = load_jpeg(image, data, divisor) if isinstance(image, JpegImageFile) else image
        image.load()
        turn = image.getexif().get(_ORIENTATION_TAG, 1)  # after loading: a plugin that turns by itself drops the tag
        pixels = _pixels(image)
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins, zlib and struct raise types of their own on damaged files
        raise CorruptPicture("the picture is truncated or damaged; send a complete file") from error
    if divisor == 1:
        height, width = pixels.shape[:2]
    del image  # as large as its pixels; an upright copy follows
    upright = np.ascontiguousarray(_TURNS[turn](pixels)) if turn in _TURNS else pixels
    return Photo(upright, height, width) if turn in _SWAPS_SIDES else Photo(upright, width, height)


_ORIENTATION_TAG: Final = 0x0112
_TURNS: Final[dict[int, Callable[[Pixels], Pixels]]] = {
    2: lambda lying: lying[:, ::-1],
    3: lambda lying: lying[::-1, ::-1],
    4: lambda lying: lying[::-1],
    5: lambda lying: lying.transpose(1, 0, 2),
    6: lambda lying: lying[::-1].transpose(1, 0, 2),
    7: lambda lying: lying[::-1, ::-1].transpose(1, 0, 2),
    8: lambda lying: lying[:, ::-1].transpose(1, 0, 2),
}
"""By the value of EXIF's tag: what makes the stored pixels upright."""
_SWAPS_SIDES: Final = frozenset({5, 6, 7, 8})


def _divisor(image: Image.Image, data: bytes, max_pixels: int, min_side: int | None) -> int:
    """Choose the scale 1/1 to 1/8 to decode at; raise PictureTooLarge where none keeps the limits."""
    width, height = image.size
    is_jpeg = isinstance(image, JpegImageFile)
    reducible = is_jpeg and width * height <= CLAIM_OF_JPEG * max_pixels and not has_several_scans(image, data)
    fitting = fitting_scales(width, height, max_pixels)
    finest = next((divisor for divisor in fitting if reducible or divisor == 1), None)
    if finest is None:
        raise PictureTooLarge(
            f"the picture claims {width} x {height} pixels; at most {max_pixels:,} in all and {MAX_SIDE:,} a side "
            f"are decoded; a JPEG of one scan can be decoded smaller and may have {CLAIM_OF_JPEG * max_pixels:,}"
        )
    if not is_jpeg or min_side is None:
        return finest
    return max(divisor for divisor in SCALES if divisor <= finest or divisor * min_side <= min(width, height))


def _pixels(image: Image.Image) -> Pixels:
    """Convert any mode to RGB strip by strip: converting it at once takes Pillow several times the memory."""
    deep = _shades(image) if image.mode.startswith("I") else None
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for index, strip in enumerate(_strips(image)):
        rows = pixels[index * _STRIP_ROWS : (index + 1) * _STRIP_ROWS]
        if deep is None:
            rows[:] = np.asarray(_to_rgb(strip))
        else:
            rows[:] = deep[np.asarray(strip, dtype=np.uint16)][:, :, None]
    return pixels


_STRIP_ROWS: Final = 64


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    for top in range(0, image.height, _STRIP_ROWS):
        yield image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode of 8 bits to RGB, and lay it on white where it is transparent."""
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(visible, mask=visible)
        return paper
    return image if image.mode == "RGB" else image.convert("RGB")


def _shades(image: Image.Image) -> NDArray[np.uint8]:
    """Scale 16-bit grey to 8 bits, by the bit depth (10, 12, 14 or 16) that its values use."""
    lightest = max(int(np.asarray(strip, dtype=np.uint16).max(initial=0)) for strip in _strips(image))
    depth = max(8, lightest.bit_length())
    shades: NDArray[np.uint8] = np.minimum(np.arange(1 << 16) * (255 / ((1 << depth) - 1)) + 0.5, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        shades[transparent] = 255
    return shades
