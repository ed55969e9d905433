"""What libjpeg does not report about a JPEG: how many scans it has, and whether part of it is missing."""

from __future__ import annotations

import math
import random
import zlib
from typing import Final

from PIL import Image, ImageFile

from service.errors import CorruptPicture
from service.inference.decoding.formats import open_picture

SCALES: Final = (1, 2, 4, 8)
"""libjpeg decodes at 1/1, 1/2, 1/4 and 1/8 of the size."""
MAX_SIDE: Final = 30_000
"""Longest decoded side in pixels; OpenCV's remap addresses pixels with 16 bits."""

_WHOLE_FILE: Final = 2**30
"""Bytes that libjpeg is given at once. In pieces, of 64 kB by default, it takes longer and overlooks more damage."""

_SCAN: Final = b"\xff\xda"
_END: Final = b"\xff\xd9"
_MISSING_GREY: Final = frozenset({127, 128})  # a colour channel of what is missing, also in inverted CMYK


def fitting_scales(width: int, height: int, max_pixels: int) -> list[int]:
    """Return the divisors that keep the limits on pixels and sides, the finest scale first."""
    sizes = {divisor: (math.ceil(width / divisor), math.ceil(height / divisor)) for divisor in SCALES}
    return [
        divisor
        for divisor, sides in sizes.items()
        if math.prod(sides) <= max_pixels and max(sides) <= MAX_SIDE and divisor <= min(width, height)
    ]


def has_several_scans(image: Image.Image, data: bytes) -> bool:
    """Whether libjpeg keeps the coefficients of the whole picture in memory, at whatever scale it decodes.

    So it does of a progressive JPEG, and of one whose colour components come one after the other.
    """
    components = data[(start := _first_scan(data)) + 4 : start + 5]
    return "progressive" in image.info or components != bytes([len(image.getbands())])


def load_jpeg(image: ImageFile.ImageFile, data: bytes, divisor: int) -> Image.Image:
    """Decode `image`, opened from `data`, at 1/`divisor` of its size; one that lacks only its end mark is read.

    libjpeg fills what is missing with grey and tells nobody. Only where the last pixel has that grey, or where the
    end of a later scan may be lost, the picture is decoded again with other bytes in the place of the missing.

    Raises CorruptPicture where rows or scans are missing, and what Pillow raises where it finds damage.
    """
    start = _first_scan(data)
    ended = data.rfind(_END, start) >= 0
    if not ended and has_several_scans(image, data):
        _refuse_partial(data, start, divisor)
    loaded = _at_scale(image if ended else open_picture(_whole(data) + _END), divisor)
    last = loaded.getpixel((loaded.width - 1, loaded.height - 1))
    if _MISSING_GREY.issuperset(last if isinstance(last, tuple) else (last,)):
        _refuse_partial(data, start, SCALES[-1])
    return loaded


def _filler() -> bytes:
    """Make bytes that decode to no flat grey, after each of the marks that the decoder may wait for."""
    draw = random.Random(0)  # noqa: S311 - any bytes will do, as long as they are always the same
    noise = bytes(draw.randrange(0xFF) for _ in range(4096))
    return noise + b"".join(bytes([0xFF, 0xD0 + n]) + noise for n in range(8))


_FILLER: Final = _filler()


def _refuse_partial(data: bytes, start: int, divisor: int) -> None:
    """Raise CorruptPicture if bytes appended to the scans change a pixel: then the decoder waited for some."""
    end = data.find(_END, start)
    scans = _whole(data if end < 0 else data[:end])
    pictures = (_at_scale(open_picture(scans + more + _END), divisor) for more in (b"", _FILLER))
    if len({zlib.crc32(picture.tobytes()) for picture in pictures}) > 1:
        raise CorruptPicture("the picture is truncated: a part of its pixels is missing; send a complete file")


def _whole(data: bytes) -> bytes:
    """Drop the first half of a mark that was cut in two."""
    return data.rstrip(b"\xff")


def _at_scale(image: ImageFile.ImageFile, divisor: int) -> Image.Image:
    if divisor > 1:
        image.draft(None, (image.width // divisor, image.height // divisor))
    image.decodermaxblock = _WHOLE_FILE
    image.load()
    return image


def _first_scan(data: bytes) -> int:
    """Return where the first scan begins, past all segments: a thumbnail in one of them has scans of its own."""
    at = 2
    while at < len(data) and data[at : at + 2] != _SCAN:
        is_segment = data[at] == 0xFF and data[at + 1 : at + 2] not in (b"\xff", b"\0")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if is_segment else 1
    return at
