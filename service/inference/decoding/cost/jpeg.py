"""JPEG: what its scans cost, by ITU-T T.81 (markers in annex B, progressive scans in annex G)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, NamedTuple

import numpy as np

from service.errors import CorruptPicture, PictureTooLarge, UnsupportedPicture
from service.inference.decoding.cost import rates
from service.inference.decoding.cost.orientation import UPRIGHT, exif_with, orientation_in_xmp, orientation_of
from service.inference.decoding.cost.priced import MAX_PARTS, PricedPicture
from service.inference.decoding.jpeg import SCALES, fitting_scales

SIGNATURE: Final = b"\xff\xd8\xff"
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker that is neither a stuffed byte nor a restart."""

_APP0, _APP1, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_SOS, _EOI, _SOI, _TEM, _DHT, _DQT = 0xDA, 0xD9, 0xD8, 0x01, 0xC4, 0xDB
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_UNREAD: Final = {0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xCC}
"""Lossless, hierarchical and arithmetic-coded frames: no browser reads them, and few bits can stand for much work."""
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_MOST_EXIF_SEGMENTS: Final = 16
_DEAR_S: Final = 0.8  # of several scans, which take as long at any scale: some 17 good megapixels
_LEFT_OUT: Final = {_COM, *range(_APP0 + 1, _APP15 + 1)} - {_APP14}
"""Comments and what programs add; JFIF's and Adobe's segments say what the components are."""


class Segment(NamedTuple):
    """A marker, where its content lies, and for a scan where its entropy-coded data end."""

    marker: int
    start: int
    content: int
    end: int
    data_end: int


class Component(NamedTuple):
    """A component of the frame, its sampling factors, and its size in blocks."""

    identifier: int
    horizontal: int
    vertical: int
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame header."""

    progressive: bool
    width: int
    height: int
    components: tuple[Component, ...]

    @property
    def blocks(self) -> int:
        """Blocks of all components, padded to whole groups."""
        widest, tallest = self._factors()
        groups = ceil(self.width / (8 * widest)) * ceil(self.height / (8 * tallest))
        return groups * sum(each.horizontal * each.vertical for each in self.components)

    def scan_blocks(self, identifiers: bytes) -> int:
        """Blocks that one scan passes: padded to whole groups where it has several components."""
        if len(identifiers) > 1:
            return self.blocks
        chosen = [each for each in self.components if each.identifier in identifiers]
        return max((each.columns * each.rows for each in chosen), default=self.blocks)

    def _factors(self) -> tuple[int, int]:
        return max(each.horizontal for each in self.components), max(each.vertical for each in self.components)


def price(data: bytes, max_pixels: int) -> PricedPicture:
    """Price a JPEG by its markers; raise CorruptPicture, UnsupportedPicture or PictureTooLarge."""
    segments = list(_segments(data))
    frame, scans, scans_ns = _frame_and_scans(data, segments)
    tables = sum(each.end - each.content for each in segments if each.marker in (_DHT, _DQT))
    fixed_ns = rates.START_NS + tables * rates.JPEG_TABLE_BYTE_NS + scans_ns
    pieces = _stripped(data, segments)
    together = next(data[each.content] for each in segments if each.marker == _SOS) == len(frame.components)
    if frame.progressive or scans > 1 or not together:
        priced = _at_scale(frame, pieces, fixed_ns, 1)
        return replace(priced, at_once=priced.processor_s > _DEAR_S)
    finest, *coarser = fitting_scales(frame.width, frame.height, max_pixels) or SCALES[-1:]
    smaller = None
    for divisor in reversed(coarser):
        smaller = _at_scale(frame, pieces, fixed_ns, divisor, one_scan=True, smaller=smaller)
    return _at_scale(frame, pieces, fixed_ns, finest, one_scan=True, smaller=smaller)


def _at_scale(
    frame: Frame,
    pieces: tuple[bytes | memoryview, ...],
    fixed_ns: float,
    divisor: int,
    *,
    one_scan: bool = False,
    smaller: PricedPicture | None = None,
) -> PricedPicture:
    pixels = ceil(frame.width / divisor) * ceil(frame.height / divisor)
    work_s = (fixed_ns + pixels * (len(frame.components) * rates.JPEG_SAMPLE_NS + rates.FINISH_NS)) / 1e9
    memory = _memory(frame, pixels, buffered=not one_scan) + 2 * sum(map(len, pieces))
    size = frame.width, frame.height
    return PricedPicture("JPEG", *size, work_s, memory, pieces, divisor=divisor, one_scan=one_scan, smaller=smaller)


def _frame_and_scans(data: bytes, segments: list[Segment]) -> tuple[Frame, int, float]:
    """Return the frame, how many scans it has, and their nanoseconds."""
    frame: Frame | None = None
    scans, work_ns = 0, 0.0
    for segment in segments:
        content = data[segment.content : segment.end]
        if segment.marker in _UNREAD:
            raise UnsupportedPicture("this kind of JPEG is not read; send a baseline or progressive one")
        if segment.marker in _BASELINE or segment.marker == _PROGRESSIVE:
            if frame:
                raise CorruptPicture("the JPEG has two frame headers; send it encoded anew")
            frame = _frame(segment.marker, content)
        elif segment.marker == _SOS:
            if frame is None:
                raise CorruptPicture("the JPEG has a scan before its frame header; send it encoded anew")
            work_ns += _scan_ns(frame, content, segment.data_end - segment.end)
            scans += 1
    if frame is None or not scans:
        raise CorruptPicture("the JPEG ends before its pixels; send a complete file")
    return frame, scans, work_ns


def _orientation(data: bytes, segments: list[Segment]) -> int:
    blocks = [data[each.content : each.end] for each in segments if each.marker == _APP1][:_MOST_EXIF_SEGMENTS]
    exif = b"".join(block.removeprefix(_EXIF) for block in blocks if block.startswith(_EXIF))
    xmp = next((block for block in blocks if block.startswith(_XMP)), b"")
    return orientation_of(exif) or orientation_in_xmp(xmp) or UPRIGHT


def _segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments up to the end of the first picture; a truncated one is the last."""
    at = 2
    for _ in range(MAX_PARTS):
        if (start := _next_marker(data, at)) is None:
            return
        marker, content = data[start + 1], start + 4
        if marker == _EOI:
            yield Segment(marker, start, start + 2, start + 2, start + 2)
            return
        if marker in (_SOI, _TEM):
            at = start + 2
            continue
        length = int.from_bytes(data[content - 2 : content], "big")
        at = end = max(content, content - 2 + length)
        if marker == _SOS:
            following = _next_marker(data, end)
            at = len(data) if following is None else following
        yield Segment(marker, start, content, end, at)
    raise PictureTooLarge(f"the JPEG has more than {MAX_PARTS:,} segments; send it encoded anew")


def _next_marker(data: bytes, at: int) -> int | None:
    """Return where the next marker begins, None without one.

    Long blocks in which nothing but 0 follows 0xFF, which entropy-coded data are made of, are passed over whole.
    """
    size = _LEAST_BLOCK
    while at < len(data) - 1:
        block = np.frombuffer(data, np.uint8, min(size + 1, len(data) - at), at)
        doubtful = size == _LEAST_BLOCK or ((block[:-1] == 0xFF) & (block[1:] != 0)).any()
        if doubtful and (found := _MARKER.search(data, at, at + len(block))):
            return found.start()
        at, size = at + size, min(2 * size, _MOST_BLOCK)
    return None


_LEAST_BLOCK: Final = 4096
_MOST_BLOCK: Final = 131_072


def _stripped(data: bytes, segments: list[Segment]) -> tuple[bytes | memoryview, ...]:
    """Return what is kept: a copy up to the last segment that is left out, and all that follows, mostly the scans."""
    turned = _orientation(data, segments)
    kept = [(each.start, each.data_end) for each in segments if each.marker not in _LEFT_OUT]
    last = len(kept) - 1
    while last and kept[last - 1][1] == kept[last][0]:
        last -= 1
    head = [data[:2], _orientation_segment(turned) if turned != UPRIGHT else b""]
    head += [data[start:end] for start, end in kept[:last]]
    return b"".join(head), memoryview(data)[kept[last][0] : kept[-1][1]]


def _frame(marker: int, content: bytes) -> Frame:
    try:
        precision, height, width, count = struct.unpack_from(">BHHB", content)
        fields = [struct.unpack_from("BBB", content, 6 + 3 * index) for index in range(count)]
    except struct.error:
        raise CorruptPicture("the JPEG's frame header is cut off; send a complete file") from None
    factors = [(identifier, sampling >> 4, sampling & 15) for identifier, sampling, _ in fields]
    if not width or not height or not 1 <= count <= 4 or not all(1 <= h <= 4 and 1 <= v <= 4 for _, h, v in factors):
        raise CorruptPicture("the JPEG's frame header is damaged; send it encoded anew")
    if precision != 8:
        raise UnsupportedPicture(f"a JPEG of {precision} bits a sample is not read; send one of 8 bits")
    widest, tallest = max(h for _, h, _ in factors), max(v for *_, v in factors)
    components = tuple(
        Component(identifier, h, v, ceil(width * h / (8 * widest)), ceil(height * v / (8 * tallest)))
        for identifier, h, v in factors
    )
    return Frame(marker == _PROGRESSIVE, width, height, components)


def _scan_ns(frame: Frame, content: bytes, data_bytes: int) -> float:
    count = content[0] if content else 0
    blocks = frame.scan_blocks(content[1 : 1 + 2 * count : 2])
    fixed = rates.JPEG_SCAN_NS + data_bytes * rates.JPEG_BYTE_NS
    if not frame.progressive:
        return fixed + blocks * rates.JPEG_BLOCK_NS
    first, last = (content[1 + 2 * count], content[2 + 2 * count]) if len(content) > 2 + 2 * count else (0, 63)
    passed = max(1, min(last, 63) - first + 1)
    return fixed + blocks * (rates.JPEG_PROGRESSIVE_BLOCK_NS + passed * rates.JPEG_COEFFICIENT_NS)


def _memory(frame: Frame, pixels: int, *, buffered: bool) -> int:
    """Bytes: all coefficients where there are several scans, rows of samples, Pillow's picture, and the same as RGB."""
    stored = 1 if len(frame.components) == 1 else 4
    return frame.blocks * 128 * buffered + pixels * (stored + 3) + 512 * (frame.width + 64)


def _orientation_segment(orientation: int) -> bytes:
    content = _EXIF + exif_with(orientation)
    return struct.pack(">BBH", 0xFF, _APP1, len(content) + 2) + content
