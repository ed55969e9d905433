"""Pictures to send: a face of the public domain in many sizes and formats, and files that are broken on purpose."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image
from skimage import data

from benchmarks.soak.adversarial import png, riff, webp_chunk

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    *((fmt, {}) for fmt in FORMATS),
    ("JPEG", {"progressive": True, "subsampling": 0}),
    ("PNG", {"compress_level": 0}),
    ("WEBP", {"lossless": True}),
)
"""Formats that are read, and ways to write them."""
SIDES = (160, 320, 512, 800, 1200)


@cache
def portrait(side: int = 512, fmt: str = "JPEG", variant: int = 0) -> bytes:
    """Return the astronaut of scikit-image, `side` pixels wide and high; `variant` is a number in `VARIANTS`."""
    fmt, options = VARIANTS[variant] if variant else (fmt, {})
    if fmt == "HEIF":
        pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((side, side)).save(buffer, fmt, **options)
    return buffer.getvalue()


def mutated(count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield small valid files with bytes flipped, cut off or swapped for those of another file."""
    draw = np.random.default_rng(seed)
    originals = [portrait(side, variant=variant) for variant in range(len(VARIANTS)) for side in (48, 96)]
    for _ in range(count):
        picture = bytearray(originals[draw.integers(len(originals))])
        other = originals[draw.integers(len(originals))]
        at = int(draw.integers(min(len(picture), len(other))))
        match draw.integers(4):
            case 0:
                for place in draw.integers(len(picture), size=draw.integers(1, 20)):
                    picture[place] = draw.integers(256)
            case 1:
                del picture[at:]
            case 2:
                picture[at:] = other[at:]
            case _:
                for place in draw.integers(64, size=draw.integers(1, 5)):  # headers are where lies cost most
                    picture[place] ^= 1 << draw.integers(8)
        yield bytes(picture)


def bombs() -> dict[str, bytes]:
    """Small files that claim enormous pictures."""
    side = 65_000
    return {
        "PNG": png(side, side, zlib.compress(b"", 9)),
        "PNG with a megabyte of zeros": png(side, side, zlib.compress(bytes(10**9 // 64), 9)),
        "GIF": b"GIF89a"
        + struct.pack("<HHBBB", side, side, 0, 0, 0)
        + b",\0\0\0\0"
        + struct.pack("<HHB", side, side, 0)
        + b"\x02\x02L\x01\0;",
        "TIFF": _tiff(side),
        "JPEG": portrait(48).replace(*_jpeg_size(portrait(48), side)),
        "WEBP": _webp(),
        "BMP": b"BM"
        + struct.pack("<IHHI", 58, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(4),
    }


def _tiff(side: int) -> bytes:
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def _jpeg_size(jpeg: bytes, side: int) -> tuple[bytes, bytes]:
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[at : at + 4], struct.pack(">HH", side, side)


def _webp() -> bytes:
    side = 16_383 - 1
    bits = side | side << 14
    return riff(webp_chunk(b"VP8L", b"\x2f" + struct.pack("<I", bits) + b"\x88\x88\x08" + bytes(16)))
