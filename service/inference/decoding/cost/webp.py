"""WebP (RFC 9649): what its first frame costs; other frames, profiles and texts are left out."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from service.errors import CorruptPicture, PictureTooLarge
from service.inference.decoding.cost import rates
from service.inference.decoding.cost.orientation import UPRIGHT, exif_with, orientation_in_xmp, orientation_of
from service.inference.decoding.cost.priced import MAX_PARTS, PricedPicture

SIGNATURE: Final = b"RIFF"
KIND: Final = b"WEBP"
_ANIMATION, _EXIF, _ALPHA = 0x02, 0x08, 0x10
_CANVAS_BYTES: Final = 15
"""Bytes of a pixel: libwebp's canvas, the one before, its own frame, Pillow's copy and Pillow's picture."""
_MOST_CODES: Final = 65_536
_CODE_BYTES: Final = 750
"""Bytes for each of them: a table is 12,000, but real pictures use few, and the kernel's limit holds the others."""


class Chunk(NamedTuple):
    """A chunk's kind and content."""

    kind: bytes
    content: memoryview


class Bitstream(NamedTuple):
    """A coded frame's size, and whether it is lossless."""

    width: int
    height: int
    lossless: bool


def price(data: bytes) -> PricedPicture:
    """Price a WebP by its chunks; raise CorruptPicture or PictureTooLarge."""
    declared = int.from_bytes(data[4:8], "little") + 8
    if declared > len(data):
        raise CorruptPicture("the WebP ends before its last byte; send a complete file")
    chunks = _chunks(memoryview(data)[12:declared])
    extended = next((bytes(each.content) for each in chunks if each.kind == b"VP8X"), b"")
    if extended and len(extended) < 10:
        raise CorruptPicture("the WebP's header is damaged; send it encoded anew")
    animated = bool(extended) and bool(extended[0] & _ANIMATION)
    still = _first_frame(chunks) if animated else chunks
    streams = [each for each in still if each.kind in (b"ALPH", b"VP8 ", b"VP8L")]
    coded = next((each for each in streams if each.kind != b"ALPH"), None)
    if coded is None:
        raise CorruptPicture("the WebP has no picture in it; send a complete file")
    frame = _bitstream(coded)
    width, height = _canvas(extended) if extended else (frame.width, frame.height)
    coded_bytes = sum(len(each.content) for each in streams)
    lossless = frame.lossless or len(streams) > 1
    work_ns = rates.START_NS + coded_bytes * rates.WEBP_BYTE_NS
    work_ns += width * height * (rates.WEBP_CANVAS_PIXEL_NS + rates.FINISH_NS)
    work_ns += frame.width * frame.height * rates.WEBP_LOSSY_PIXEL_NS * (not frame.lossless)
    work_ns += frame.width * frame.height * rates.WEBP_LOSSLESS_PIXEL_NS * lossless
    stripped = _stripped(chunks, streams, extended, animated, (width, height))
    memory = max(width * height, frame.width * frame.height) * (_CANVAS_BYTES + 3) + 2 * len(stripped)
    if lossless:
        codes = min(_MOST_CODES, coded_bytes // 2, frame.width * frame.height // 16)
        memory += codes * _CODE_BYTES
        work_ns += codes * rates.WEBP_CODE_NS
    return PricedPicture("WEBP", width, height, work_ns / 1e9, memory, (stripped,))


def _chunks(view: memoryview) -> list[Chunk]:
    found: list[Chunk] = []
    at = 0
    while at + 8 <= len(view):
        if len(found) == MAX_PARTS:
            raise PictureTooLarge(f"the WebP has more than {MAX_PARTS:,} chunks; send it encoded anew")
        kind, length = struct.unpack_from("<4sI", view, at)
        found.append(Chunk(kind, view[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def _first_frame(chunks: list[Chunk]) -> list[Chunk]:
    for kind, content in chunks:
        if kind == b"ANMF":
            return _chunks(content[16:])
    return []


def _bitstream(chunk: Chunk) -> Bitstream:
    content = bytes(chunk.content[:10])
    if chunk.kind == b"VP8L":
        if len(content) < 5 or content[0] != 0x2F:
            raise CorruptPicture("the WebP's lossless frame has no header; send it encoded anew")
        bits = int.from_bytes(content[1:5], "little")
        return Bitstream((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, lossless=True)
    if len(content) < 10 or content[3:6] != b"\x9d\x01\x2a":
        raise CorruptPicture("the WebP's frame has no header; send it encoded anew")
    width, height = struct.unpack_from("<HH", content, 6)
    if not width & 0x3FFF or not height & 0x3FFF:
        raise CorruptPicture("the WebP's frame is empty; send it encoded anew")
    return Bitstream(width & 0x3FFF, height & 0x3FFF, lossless=False)


def _canvas(extended: bytes) -> tuple[int, int]:
    return int.from_bytes(extended[4:7], "little") + 1, int.from_bytes(extended[7:10], "little") + 1


def _stripped(
    chunks: list[Chunk], streams: list[Chunk], extended: bytes, animated: bool, size: tuple[int, int]
) -> bytes:
    """Put the first frame into a file of its own, with the orientation and nothing else."""
    turned = _orientation(chunks)
    flags = (extended[0] & (_ALPHA | _ANIMATION) if extended else 0) | (_EXIF if turned != UPRIGHT else 0)
    parts = []
    if extended or turned != UPRIGHT:
        width, height = size
        head = struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        parts.append(_chunk(b"VP8X", head))
    frames = b"".join(_chunk(*each) for each in streams)
    if animated:
        place = next(bytes(each.content[:16]) for each in chunks if each.kind == b"ANMF")
        control = next((bytes(each.content) for each in chunks if each.kind == b"ANIM"), bytes(6))
        parts.append(_chunk(b"ANIM", control[:6]))
        frames = _chunk(b"ANMF", place + frames)
    parts.append(frames)
    if turned != UPRIGHT:
        parts.append(_chunk(b"EXIF", exif_with(turned)))
    body = KIND + b"".join(parts)
    return SIGNATURE + struct.pack("<I", len(body)) + body


def _orientation(chunks: list[Chunk]) -> int:
    for kind, content in chunks:
        if kind == b"EXIF":
            return orientation_of(bytes(content[: 2**20]).removeprefix(b"Exif\0\0")) or UPRIGHT
        if kind == b"XMP " and (turned := orientation_in_xmp(bytes(content[: 2**20]))):
            return turned
    return UPRIGHT


def _chunk(kind: bytes, content: bytes | memoryview) -> bytes:
    return b"".join((struct.pack("<4sI", kind, len(content)), content, bytes(len(content) % 2)))
