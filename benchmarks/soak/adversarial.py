"""Small files that are legal, or nearly, and as much work as their format allows: one maker for each kind.

Tests, the soak and `python -m benchmarks.decode_cost` use them; docs/adr/0018 says what each does to a decoder.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.pictures import head
from benchmarks.soak.adversarial_boxes import (
    avif_many_units,
    avif_of_several_frames,
    avif_operating_points,
    avif_shared_items,
    empty_extents,
    entries_without_links,
    heic_parameter_sets,
    heic_repeated_tile,
    heic_shared_configuration,
    many_properties,
)
from benchmarks.soak.adversarial_jpeg import (
    cmyk,
    dense_baseline,
    encoded,
    exif_overlaps,
    jpeg_exif,
    jpeg_fill,
    jpeg_restarts,
    jpeg_segments,
    jpeg_tables,
    noise,
    progressive_empty_scans,
    progressive_full,
    progressive_runs,
    sampled,
    sequential_scans,
    stripes,
)


def png(
    width: int,
    height: int,
    data: bytes,
    *,
    bits_: int = 8,
    colour: int = 2,
    interlace: int = 0,
    before: bytes = b"",
    idat: int = 2**31,
) -> bytes:
    """Put a PNG together from finished zlib data, cut into chunks of `idat` bytes."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits_, colour, 0, 0, interlace))
    body = b"".join(png_chunk(b"IDAT", data[at : at + idat]) for at in range(0, len(data), idat))
    return b"\x89PNG\r\n\x1a\n" + head + before + body + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Write a chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def flat_png(side: int = 7071, colour: int = 6, depth: int = 8, interlace: int = 0, filter_: int = 4) -> bytes:
    """Zeros behind the dearest filter: a hundred kilobytes that become hundreds of megabytes."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes([filter_]) + bytes((side * samples * depth + 7) // 8)
    squeeze = zlib.compressobj(9)
    count = side * (2 if interlace else 1)
    data = b"".join(squeeze.compress(row) for _ in range(count)) + squeeze.flush()
    palette = png_chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    return png(side, side, data, bits_=depth, colour=colour, interlace=interlace, before=palette)


def _number(value: int, width: int) -> str:
    return format(value, f"0{width}b")[::-1]


def _wide_block() -> str:
    """Write a deflate block that defines 257 codes and ends at once (RFC 1951, section 3.2.7)."""
    order = {16: 2, 17: 0, 18: 0, 0: 2, 8: 2, 7: 0, 9: 2}
    zero, eight, nine, again = "00", "01", "10", "11"
    head = "0" + "01" + _number(0, 5) + _number(0, 5) + _number(len(order) - 4, 4)
    lengths = eight + (again + "11") * 42 + eight * 2 + nine * 2 + zero
    return head + "".join(_number(each, 3) for each in order.values()) + lengths + "1" * 9


def _deep_block() -> str:
    """Write a deflate block whose few codes have every length from 1 to 15, so that its tables are the largest."""
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
    # Sixteen of the lengths' own codes: fifteen lengths and the run of zeros, four bits each.
    used = sorted([*range(1, 16), 18])
    codes = {each: format(index, "04b") for index, each in enumerate(used)}
    head = "0" + "01" + _number(0, 5) + _number(0, 5) + _number(len(order) - 4, 4)
    lengths = "".join(codes[each] for each in range(1, 16))  # symbols 0 to 14
    lengths += codes[18] + _number(127, 7) + codes[18] + _number(241 - 138 - 11, 7)
    lengths += codes[15] + codes[1]  # symbol 256 ends the block; one distance code
    return head + "".join(_number(4 if each in codes else 0, 3) for each in order) + lengths + "1" * 15


def deflate_tables(megabytes: float = 10.0, *, deep: bool = False) -> bytes:
    """Define a new table of codes every few dozen bytes of a picture that never begins."""
    pattern = (_deep_block() if deep else _wide_block()) * 8
    period = b"".join(int(pattern[at : at + 8][::-1], 2).to_bytes(1, "big") for at in range(0, len(pattern), 8))
    side = int((megabytes * 1e6 / 3) ** 0.5)
    rows = zlib.compressobj(0, zlib.DEFLATED, -15)
    picture = rows.compress(bytes(side * (1 + 3 * side))) + rows.flush()
    return png(side, side, b"\x78\xda" + period * int(megabytes * 1e6 / len(period)) + picture)


def png_private_chunks(count: int = 1_700_000) -> bytes:
    """Put empty private chunks before the picture."""
    return png(64, 64, zlib.compress(bytes(64 * 193)), before=png_chunk(b"prVt", b"") * count)


def png_empty_data(count: int = 1_000_000) -> bytes:
    """Send the picture in chunks of nothing."""
    whole = png(64, 64, zlib.compress(bytes(64 * 193)))
    return whole.replace(whole[33:], png_chunk(b"IDAT", b"") * count + whole[33:])


def png_texts(count: int = 100, megabytes: float = 60.0) -> bytes:
    """Texts and profiles that grow a thousandfold."""
    squeezed = zlib.compress(bytes(int(megabytes * 1e6)), 9)
    texts = png_chunk(b"zTXt", b"a\0\0" + squeezed) + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + squeezed)
    return png(64, 64, zlib.compress(bytes(64 * 193)), before=(texts + png_chunk(b"iCCP", b"a\0\0" + squeezed)) * count)


def png_oriented_texts(count: int = 9000, keyword: bytes = b"Raw profile type exif") -> bytes:
    """Texts in which the orientation is looked for, all line ends, that grow from 300 bytes to 256 kB each."""
    text = png_chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(b"\n" * 2**18, 9))
    return png(64, 64, zlib.compress(bytes(64 * 193)), before=text * count)


def png_exif() -> bytes:
    """Overlapping EXIF values in a PNG."""
    return png(64, 64, zlib.compress(bytes(64 * 193)), before=png_chunk(b"eXIf", exif_overlaps(60_000, 2_000_000)))


def png_animation(frames: int = 5000) -> bytes:
    """Put all frames of an animation before the picture's end."""
    data = zlib.compress(bytes(64 * 193))
    control = png_chunk(b"acTL", struct.pack(">II", frames, 0))
    frame = struct.pack(">IIIIIHHBB", 0, 64, 64, 0, 0, 1, 1, 0, 0)
    whole = png(64, 64, data, before=control + png_chunk(b"fcTL", frame))
    more = b"".join(
        png_chunk(b"fcTL", struct.pack(">I", 2 * index + 1) + frame[4:])
        + png_chunk(b"fdAT", struct.pack(">I", 2 * index + 2) + data)
        for index in range(frames)
    )
    return whole[:-12] + more + whole[-12:]


def webp_chunk(kind: bytes, content: bytes) -> bytes:
    """Write a chunk."""
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    """Put a WebP together."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_frames(count: int = 3000, side: int = 1000, canvas: int = 7000) -> bytes:
    """Animate thousands of frames on a large canvas."""
    still = encoded(np.zeros((side, side, 3), np.uint8), "WEBP", lossless=True)[12:]
    place = bytes(6) + (side - 1).to_bytes(3, "little") * 2 + bytes([10, 0, 0, 0])
    size = (canvas - 1).to_bytes(3, "little")
    head = webp_chunk(b"VP8X", b"\x02\0\0\0" + size * 2)
    return riff(head, webp_chunk(b"ANIM", bytes(6)), *[webp_chunk(b"ANMF", place + still)] * count)


def webp_chunks(count: int = 1_000_000) -> bytes:
    """Put empty unknown chunks behind the picture."""
    return riff(encoded(np.zeros((64, 64, 3), np.uint8), "WEBP")[12:], webp_chunk(b"JUNK", b"") * count)


def webp_exif() -> bytes:
    """Overlapping EXIF values in a WebP."""
    still = encoded(np.zeros((64, 64, 3), np.uint8), "WEBP")[12:]
    head = webp_chunk(b"VP8X", b"\x08\0\0\0" + (63).to_bytes(3, "little") * 2)
    return riff(head, still, webp_chunk(b"EXIF", exif_overlaps(60_000, 2_000_000)))


def tiff_tiles(tiles: int = 100, columns: int = 6_250_000) -> bytes:
    """Let a hundred tiles far beyond the picture share one strip of deflated zeros."""
    squeezed = zlib.compress(bytes(16 * columns), 9)
    first = 8 + 2 + 12 * 10 + 4

    def longs(*values: int) -> bytes:
        return struct.pack(f"<{len(values)}I", *values)

    tables = longs(*[first + 8 * tiles] * tiles) + longs(*[len(squeezed)] * tiles)
    tags = [(256, 1, 16), (257, 1, 16 * tiles), (258, 1, 8), (259, 1, 8), (262, 1, 1), (277, 1, 1)]
    tags += [(322, 1, columns), (323, 1, 16), (324, tiles, first), (325, tiles, first + 4 * tiles)]
    entries = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in tags)
    return b"II*\0" + longs(8) + struct.pack("<H", len(tags)) + entries + longs(0) + tables + squeezed


def bmp_rows(width: int = 30_000, height: int = 1666) -> bytes:
    """Run-length code one pixel of each row, and let the reader fill the rest."""
    content = b"\1\0\0\0" * height + b"\0\1"
    palette = bytes(1024)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(content), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(content), 0, 0, 54 + 1024) + head + palette + content


def covered_with_faces(width: int, height: int, side: int) -> bytes:
    """Cover a picture with heads: each face is looked for, cut out and answered."""
    small = np.asarray(Image.fromarray(head()).resize((side, side)))
    across, down = max(1, width // side), max(1, height // side)
    return encoded(np.tile(small, (down, across, 1)), "JPEG", quality=85)


def _side(scale: float, largest: int) -> int:
    return max(16, int(largest * scale**0.5))


KINDS: Final[dict[str, Callable[[float], bytes]]] = {
    "JPEG, empty scans": lambda s: progressive_empty_scans(20, _side(s, 5000)),
    "JPEG, scans of runs": lambda s: progressive_runs(10, _side(s, 5000)),
    "JPEG, every coefficient refined": lambda s: progressive_full(1 + 3 * s, _side(s, 3000)),
    "JPEG, sequential scans": lambda s: sequential_scans(20, _side(s, 4000)),
    "JPEG, two bits a coefficient": lambda s: dense_baseline(10 * s),
    "JPEG, one colour at 4 x 1": lambda s: sampled((0x41, 0x11, 0x11), _side(s, 5000)),
    "JPEG, one colour at 2 x 2": lambda s: sampled((0x11, 0x22, 0x11), _side(s, 5000)),
    "JPEG, full colours": lambda s: sampled((0x11, 0x11, 0x11), _side(s, 5000), progressive=False),
    "JPEG, CMYK": lambda s: cmyk(_side(s, 4000)),
    "JPEG, tables": lambda s: jpeg_tables(10 * s),
    "JPEG, segments": lambda s: jpeg_segments(int(200_000 * s)),
    "JPEG, fill bytes": lambda s: jpeg_fill(10 * s),
    "JPEG, stuffed bytes": lambda s: jpeg_fill(10 * s, b"\xff\0"),
    "JPEG, restarts": lambda s: jpeg_restarts(5 * s, _side(s, 5000)),
    "JPEG, overlapping EXIF": lambda _: jpeg_exif(),
    "JPEG, stripes": lambda s: stripes(_side(s, 3000), _side(s, 3000), "JPEG", quality=100, progressive=True),
    "JPEG, covered with small faces": lambda s: covered_with_faces(_side(s, 1600), _side(s, 1200), 40),
    "JPEG, covered with faces": lambda s: covered_with_faces(_side(s, 12_000), _side(s, 4160), 200),
    "PNG, RGBA": lambda s: flat_png(_side(s, 5000)),
    "PNG, interlaced": lambda s: flat_png(_side(s, 4000), interlace=1),
    "PNG, 16-bit grey": lambda s: flat_png(_side(s, 5000), 0, 16),
    "PNG, 16-bit RGBA": lambda s: flat_png(_side(s, 4000), 6, 16),
    "PNG, palette": lambda s: flat_png(_side(s, 5000), 3),
    "PNG, one bit interlaced": lambda s: flat_png(_side(s, 5000), 0, 1, 1),
    "PNG, grey with alpha": lambda s: flat_png(_side(s, 5000), 4, 8, 0, 3),
    "PNG, tables of deflate": lambda s: deflate_tables(8 * s),
    "PNG, deep tables of deflate": lambda s: deflate_tables(8 * s, deep=True),
    "PNG, private chunks": lambda s: png_private_chunks(int(1_600_000 * s)),
    "PNG, empty data": lambda s: png_empty_data(int(1_000_000 * s)),
    "PNG, texts": lambda s: png_texts(int(1 + 80 * s), 20),
    "PNG, texts of the orientation": lambda s: png_oriented_texts(int(1 + 9000 * s)),
    "PNG, overlapping EXIF": lambda _: png_exif(),
    "PNG, animation": lambda s: png_animation(int(1 + 5000 * s)),
    "WebP, frames": lambda s: webp_frames(int(1 + 3000 * s), 300, _side(s, 5000)),
    "WebP, chunks": lambda s: webp_chunks(int(1_000_000 * s)),
    "WebP, overlapping EXIF": lambda _: webp_exif(),
    "WebP, noise": lambda s: noise(_side(s, 1500), _side(s, 1500), "WEBP", quality=100, method=0),
    "WebP, lossless stripes": lambda s: stripes(_side(s, 2500), _side(s, 2500), "WEBP", lossless=True, method=0),
    "WebP, lossless noise": lambda s: noise(_side(s, 1500), _side(s, 1500), "WEBP", lossless=True, method=0),
    "AVIF, noise": lambda s: noise(_side(s, 1000), _side(s, 1000), "AVIF", quality=100, speed=10),
    "AVIF, stripes": lambda s: stripes(_side(s, 1200), _side(s, 1200), "AVIF", quality=90, speed=10),
    "AVIF, frames": lambda s: avif_of_several_frames(int(2 + 1000 * s)),
    "AVIF, shared items": lambda s: avif_shared_items(int(2 + 3000 * s)),
    "AVIF, extents without bytes": lambda s: empty_extents(int(1 + 1000 * s)),
    "AVIF, entries without links": lambda s: entries_without_links(int(1 + 6e6 * s)),
    "AVIF, properties": lambda s: many_properties(int(1 + 200 * s)),
    "AVIF, units": lambda s: avif_many_units(int(1 + 9000 * s)),
    "HEIC, noise": lambda s: noise(_side(s, 1000), _side(s, 1000), "HEIF", quality=90),
    "HEIC, stripes": lambda s: stripes(_side(s, 1200), _side(s, 1200), "HEIF", quality=90),
    "HEIC, shared configuration": lambda s: heic_shared_configuration(int(1 + 9000 * s)),
    "AVIF, operating points": lambda s: avif_operating_points(int(1 + 500 * s)),
    "HEIC, parameter sets": lambda s: heic_parameter_sets(int(1 + 500 * s)),
    "HEIC, one tile again and again": lambda s: heic_repeated_tile(int(1 + 15 * s), 60),
    "TIFF, tiles": lambda s: tiff_tiles(int(1 + 100 * s), 100_000),
    "BMP, run lengths": lambda s: bmp_rows(30_000, int(1 + 1600 * s)),
}
"""Makers of pictures of each kind, from nearly harmless (0) to as bad as fits (1)."""


def adversarial(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many pictures, all kinds in turn, each kind from small to large."""
    rounds = -(-count // len(KINDS))
    for number in range(count):
        name = list(KINDS)[number % len(KINDS)]
        yield name, KINDS[name]((number // len(KINDS) + 1) / rounds)
