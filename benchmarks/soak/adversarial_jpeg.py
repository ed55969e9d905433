"""JPEGs that are as much work as the format allows, and the plain pictures that other makers start from."""

from __future__ import annotations

import io
import struct
from typing import Final

import numpy as np
import pillow_heif
from PIL import Image, ImageFile

Pixels = np.typing.NDArray[np.uint8]

_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"


def jpeg(
    width: int, height: int, scans: list[bytes], *, kind: int = 0xC2, sampling: tuple[int, ...] = (0x11,)
) -> bytes:
    """Put a JPEG together from finished scans."""
    table = b"\xff\xdb\x00\x43\x00" + b"\1" * 64
    fields = b"".join(bytes([index + 1, factors, 0]) for index, factors in enumerate(sampling))
    frame = struct.pack(">BBHBHHB", 0xFF, kind, 8 + len(fields), 8, height, width, len(sampling)) + fields
    return b"\xff\xd8" + table + frame + b"".join(scans) + b"\xff\xd9"


def huffman(table: int, *symbols: int) -> bytes:
    """Write a table of codes, all of one length with room for the code of ones that is not allowed."""
    length = max(1, (len(symbols)).bit_length())
    counts = bytes(len(symbols) if each == length else 0 for each in range(1, 17))
    content = bytes([table]) + counts + bytes(symbols)
    return b"\xff\xc4" + struct.pack(">H", len(content) + 2) + content


def scan(components: tuple[int, ...], first: int, last: int, approximation: int, data: bytes, table: int = 0) -> bytes:
    """Write a scan header and its data, stuffed."""
    chosen = b"".join(bytes([each, table]) for each in components)
    content = bytes([len(components)]) + chosen + bytes([first, last, approximation])
    return b"\xff\xda" + struct.pack(">H", len(content) + 2) + content + data.replace(b"\xff", b"\xff\0")


def bits(pattern: str, times: int = 1) -> bytes:
    """Pack a text of zeros and ones, repeated, filled up with ones."""
    text = pattern * times
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


_DC: Final = huffman(0, 0) + scan((1,), 0, 0, 0x00, b"")


def progressive_empty_scans(scans: int = 400, side: int = 7000) -> bytes:
    """Refine coefficients that nobody sent, again and again."""
    return jpeg(side, side, [_DC, huffman(0x10, 0), *[scan((1,), 1, 63, 0x10, b"\0" * 4)] * scans])


def progressive_runs(scans: int = 100, side: int = 7000) -> bytes:
    """Pass 32,767 blocks with each code of 15 bits: in every scan all coefficients are looked at."""
    blocks = (side + 7) // 8 * ((side + 7) // 8)
    data = bits("0" + "1" * 14, blocks // 32_767 + 1)
    return jpeg(side, side, [_DC, huffman(0x10, 0xE0), *[scan((1,), 1, 63, 0x10, data)] * scans])


def progressive_full(megabytes: float = 5.0, side: int = 3000) -> bytes:
    """Send every coefficient in two bits, and then refine each of them."""
    blocks = (side + 7) // 8 * ((side + 7) // 8)
    first = bits("01" * 4, blocks * 63 // 4 + 1)
    refine = bits("0" + "1" * 14 + "10" * 40, int(megabytes * 1e6 * 8) // 95)
    scans = [_DC, huffman(0x10, 1), scan((1,), 1, 63, 0x02, first), huffman(0x10, 0xE0)]
    scans += [scan((1,), 1, 63, 0x21, refine), scan((1,), 1, 63, 0x10, refine)]
    return jpeg(side, side, scans)


def sequential_scans(scans: int = 200, side: int = 4000) -> bytes:
    """Send a baseline picture's only component over and over."""
    return jpeg(side, side, [huffman(0, 0), huffman(0x10, 0), *[scan((1,), 0, 63, 0, b"\0" * 8)] * scans], kind=0xC1)


def dense_baseline(megabytes: float = 10.0) -> bytes:
    """Send every coefficient of every block in two bits."""
    blocks = int(megabytes * 1e6) // 16
    side = int(blocks**0.5) * 8
    data = bits("00" + "01" * 63, side * side // 64)
    return jpeg(side, side, [huffman(0, 0) + huffman(0x10, 1) + scan((1,), 0, 63, 0, data)], kind=0xC0)


def sampled(factors: tuple[int, ...], side: int = 6000, progressive: bool = True) -> bytes:
    """Give the components sampling factors that need the slow ways of scaling up."""
    numbers = tuple(range(1, len(factors) + 1))
    data = [huffman(0, 0) + scan(numbers, 0, 0 if progressive else 63, 0, b"\0" * 64)]
    if not progressive:
        data.insert(0, huffman(0x10, 0))
    return jpeg(side, side, data, kind=0xC2 if progressive else 0xC0, sampling=factors)


def cmyk(side: int = 6000) -> bytes:
    """Four components that are inverted and converted."""
    return sampled((0x11,) * 4, side).replace(b"\xff\xdb", _ADOBE + b"\xff\xdb", 1)


def jpeg_tables(megabytes: float = 10.0) -> bytes:
    """Define quantisation tables thousands of times."""
    content = b"".join(bytes([0]) + b"\1" * 64 for _ in range(1000))
    segment = b"\xff\xdb" + struct.pack(">H", len(content) + 2) + content
    return _portrait("JPEG").replace(b"\xff\xd8", b"\xff\xd8" + segment * int(megabytes * 1e6 / len(segment)), 1)


def jpeg_segments(count: int = 200_000, marker: int = 0xE5) -> bytes:
    """Put empty application segments before the picture."""
    return _portrait("JPEG").replace(b"\xff\xd8", b"\xff\xd8" + bytes([0xFF, marker, 0, 2]) * count, 1)


def jpeg_fill(megabytes: float = 10.0, byte: bytes = b"\xff") -> bytes:
    """Fill the room between two segments."""
    return _portrait("JPEG").replace(b"\xff\xd8", b"\xff\xd8" + byte * int(megabytes * 1e6 / len(byte)), 1)


def jpeg_restarts(megabytes: float = 5.0, side: int = 6000) -> bytes:
    """Nothing but restart markers."""
    marks = b"".join(bytes([0xFF, 0xD0 + index]) for index in range(8)) * int(megabytes * 1e6 / 16)
    head = b"\xff\xdd\x00\x04\x00\x01" + huffman(0, 0) + huffman(0x10, 0)
    return jpeg(side, side, [head, scan((1,), 0, 63, 0, b"") + marks], kind=0xC0)


def exif_overlaps(tags: int = 4000, payload: int = 60_000) -> bytes:
    """Give thousands of EXIF tags the same long value."""
    entries = b"".join(struct.pack(">HHII", tag + 1, 7, payload, 8) for tag in range(tags))
    return (
        b"MM\0*"
        + struct.pack(">I", 8)
        + struct.pack(">H", tags)
        + entries
        + bytes(4)
        + bytes(max(0, payload - 12 * tags))
    )


def jpeg_exif() -> bytes:
    """Overlapping EXIF values in a JPEG, over several segments."""
    block = exif_overlaps()
    parts = b""
    for at in range(0, len(block), 60_000):
        content = b"Exif\0\0" + block[at : at + 60_000]
        parts += b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    return _portrait("JPEG").replace(b"\xff\xd8", b"\xff\xd8" + parts, 1)


def noise(width: int, height: int, fmt: str, **options: object) -> bytes:
    """Encode noise, of which nothing can be foretold."""
    draw = np.random.default_rng(0)
    return encoded(draw.integers(0, 256, (height, width, 3), np.uint8), fmt, **options)


def stripes(width: int, height: int, fmt: str, **options: object) -> bytes:
    """Encode a pattern that is cheap to write down and has every edge there is."""
    rows, columns = np.indices((height, width))
    shade = ((rows * 7 + columns * 13) % 17 * 15).astype(np.uint8)
    return encoded(np.stack([shade, shade[::-1], 255 - shade], axis=-1), fmt, **options)


def encoded(pixels: Pixels, fmt: str, **options: object) -> bytes:
    """Encode with Pillow, HEIC with its plugin."""
    if fmt == "HEIF":
        pillow_heif.register_heif_opener()
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, pixels.nbytes * 2)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, fmt, **options)
    return stream.getvalue()


def _portrait(fmt: str) -> bytes:
    return stripes(256, 256, fmt)
