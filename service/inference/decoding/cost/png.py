"""PNG (W3C, third edition): what its pixels cost; all chunks that do not make pixels are left out."""

from __future__ import annotations

import struct
import zlib
from itertools import islice, takewhile
from math import ceil
from typing import Final

from service.errors import CorruptPicture, PictureTooLarge
from service.inference.decoding.cost import rates
from service.inference.decoding.cost.orientation import UPRIGHT, exif_with, orientation_in_xmp, orientation_of
from service.inference.decoding.cost.priced import MAX_PARTS, PricedPicture

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""
_GREY, _PALETTE = 0, 3
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: first column and row, and steps between columns and rows."""
_LONGEST_TEXT: Final = 2**18


def price(data: bytes) -> PricedPicture:
    """Price a PNG by its chunks; raise CorruptPicture or PictureTooLarge."""
    chunks = _chunks(data)
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise CorruptPicture("the PNG does not begin with its header; send a complete file")
    header = bytes(chunks[0][1])
    width, height, bits, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if not width or not height or colour not in _SAMPLES:
        raise CorruptPicture("the PNG's header is damaged; send it encoded anew")
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    bits_per_pixel = bits * _SAMPLES[colour]
    rows = [_pass_size(width, height, *each) for each in _PASSES] if interlace else [(width, height)]
    raw = sum(count * (1 + ceil(columns * bits_per_pixel / 8)) for columns, count in rows if columns)
    work_ns = rates.START_NS + len(packed) * rates.PNG_BYTE_NS + raw * rates.PNG_SAMPLE_BYTE_NS
    work_ns += sum(count for _, count in rows) * rates.PNG_ROW_NS + width * height * rates.FINISH_NS
    work_ns += width * height * rates.PNG_INTERLACED_PIXEL_NS * bool(interlace)
    kept = [SIGNATURE, _chunk(b"IHDR", header)]
    before = list(takewhile(lambda chunk: chunk[0] != b"IDAT", chunks))  # behind the pixels they do not count
    colours: dict[bytes, bytes | memoryview] = {kind: content for kind, content in before if kind in (b"PLTE", b"tRNS")}
    if colour == _PALETTE and not (colours.get(b"PLTE") and len(colours[b"PLTE"]) % 3 == 0):
        raise CorruptPicture("the PNG has no palette for its pixels; send it encoded anew")
    if colour == _GREY and b"tRNS" in colours:
        colours[b"tRNS"] = _scaled_key(colours[b"tRNS"], bits)
    kept += [_chunk(kind, content) for kind, content in sorted(colours.items())]
    if (turned := _orientation(chunks)) != UPRIGHT:
        kept.append(_chunk(b"eXIf", exif_with(turned)))
    kept.append(_chunk(b"IDAT", packed))
    if chunks[-1][0] == b"IEND":
        kept.append(_chunk(b"IEND", b""))
    stripped = b"".join(kept)
    memory = width * height * (_stored(bits, colour) + 3) + 4 * ceil(width * bits_per_pixel / 8) + 2 * len(stripped)
    return PricedPicture("PNG", width, height, work_ns / 1e9, memory, (stripped,))


def _scaled_key(key: memoryview | bytes, bits: int) -> memoryview | bytes:
    """Return the transparent grey as one of 8 bits, to which Pillow scales the pixels of 2 and 4 but not this."""
    if bits not in (2, 4):
        return key
    most = (1 << bits) - 1
    return struct.pack(">H", (int.from_bytes(key[:2], "big") & most) * 255 // most)


def _chunks(data: bytes) -> list[tuple[bytes, memoryview]]:
    """Return kinds and contents up to the end; the last may be cut off."""
    view, at = memoryview(data), len(SIGNATURE)
    found: list[tuple[bytes, memoryview]] = []
    while at + 8 <= len(data):
        if len(found) == MAX_PARTS:
            raise PictureTooLarge(f"the PNG has more than {MAX_PARTS:,} chunks; send it encoded anew")
        length, kind = struct.unpack_from(">I4s", data, at)
        content = view[at + 8 : at + 8 + length]
        if kind in (b"IHDR", b"PLTE", b"tRNS") and _checksum_differs(data, at, length):
            raise CorruptPicture("a chunk of the PNG is damaged; send a complete file")
        found.append((kind, content))
        if kind == b"IEND":
            break
        at += 12 + length
    return found


def _checksum_differs(data: bytes, at: int, length: int) -> bool:
    end = at + 8 + length
    return end + 4 > len(data) or zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big")


def _chunk(kind: bytes, content: bytes | memoryview) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">I4s", len(content), kind), content, struct.pack(">I", checksum)))


def _pass_size(width: int, height: int, left: int, top: int, across: int, down: int) -> tuple[int, int]:
    return ceil(max(0, width - left) / across), ceil(max(0, height - top) / down)


def _stored(bits: int, colour: int) -> int:
    """Bytes of a pixel in Pillow: 16-bit grey keeps two, one channel takes one, all others four."""
    if colour in (0, 3):
        return 4 if bits == 16 else 1
    return 4


def _orientation(chunks: list[tuple[bytes, memoryview]]) -> int:
    """Return which way is up: from eXIf, or from where ImageMagick and Adobe's programs write it."""
    exif = next((content for kind, content in chunks if kind == b"eXIf"), b"")  # there is to be one at most
    if turned := orientation_of(bytes(exif[:_LONGEST_TEXT])):
        return turned
    texts = ((kind, content) for kind, content in chunks if kind in _TEXTS and _keyword(content) in _ORIENTED)
    for kind, content in islice(texts, _MOST_TEXTS):
        keyword, text = _text(kind, bytes(content[:_LONGEST_TEXT]))
        turned = None
        if keyword == _RAW_PROFILE:
            turned = _from_raw_profile(text)
        elif keyword == _XMP:
            turned = orientation_in_xmp(text)
        if turned:
            return turned
    return UPRIGHT


_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
_RAW_PROFILE, _XMP = b"Raw profile type exif", b"XML:com.adobe.xmp"
_ORIENTED: Final = (_RAW_PROFILE, _XMP)
_MOST_TEXTS: Final = 4
"""Texts that are looked at: each can be 300 bytes that grow to `_LONGEST_TEXT`."""
_LONGEST_KEYWORD: Final = 79


def _keyword(content: bytes | memoryview) -> bytes:
    return bytes(content[: _LONGEST_KEYWORD + 1]).partition(b"\0")[0]


def _text(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Return keyword and beginning of a text; empty ones where it is damaged."""
    keyword, _, rest = content.partition(b"\0")
    compressed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        compressed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]
    if not compressed:
        return keyword, rest
    try:
        return keyword, zlib.decompressobj().decompress(rest, _LONGEST_TEXT)
    except zlib.error:
        return b"", b""


def _from_raw_profile(text: bytes) -> int | None:
    """Read ImageMagick's hexadecimal digits after a line each for name and length."""
    digits = b"".join(text.split(b"\n", 3)[3:]).translate(None, b"\n")
    try:
        exif = bytes.fromhex(digits.decode("ascii")[: len(digits) // 2 * 2])
    except (UnicodeDecodeError, ValueError):
        return None
    return orientation_of(exif.removeprefix(b"Exif\0\0"))
