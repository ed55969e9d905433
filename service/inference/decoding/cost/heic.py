"""HEIC: what its HEVC pictures cost (ITU-T H.265, sections 7.3.1 and 7.3.2; ISO/IEC 14496-15, section 8.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.errors import CorruptPicture, UnsupportedPicture
from service.inference.decoding.cost import rates
from service.inference.decoding.cost.bits import Bits
from service.inference.decoding.cost.bmff import Item, read_items, uses
from service.inference.decoding.cost.priced import HEADER_PARTS, PartCount, PricedPicture

_PIXEL_BYTES: Final = 20
"""Bytes of a pixel: planes of 16 bits, libheif's RGB, Pillow's copy and Pillow's picture."""
_SEQUENCE_SET: Final = 33
_CODED_TYPES: Final = 32
"""Units of lower types hold coded pixels."""
_DAMAGED: Final = "the HEIC's units are cut off or damaged; send a complete file"


def price(data: bytes) -> PricedPicture:
    """Price a HEIC by its items; raise CorruptPicture, UnsupportedPicture or PictureTooLarge."""
    kept = bytearray(data)
    parts = PartCount("HEIC")
    primary, items = read_items(kept, parts)
    if primary not in items or not all(items[primary].size):
        raise CorruptPicture("the HEIC does not say how large its picture is; send it encoded anew")
    width, height = items[primary].size
    coded = {number: item for number, item in items.items() if item.kind in (b"hvc1", b"hev1")}
    if not coded or items[primary].kind not in (b"hvc1", b"hev1", b"grid"):
        raise UnsupportedPicture("the file has no HEVC picture in it; send JPEG, PNG, WebP or AVIF")
    # Thousands of items may share a configuration: each is read once.
    places = {item.configuration for item in coded.values()}
    configured = {place: _configured_pixels(kept, *place, parts) for place in places}
    used = uses(items)
    pixels = sum(
        max(1, used[number]) * max(configured[item.configuration], _coded_pixels(kept, item, parts))
        for number, item in coded.items()
    )
    work_ns = rates.START_NS + pixels * rates.HEIC_PIXEL_NS + width * height * rates.FINISH_NS
    work_ns += sum(max(1, used[number]) * item.length for number, item in coded.items()) * rates.HEIC_BYTE_NS
    memory = max(pixels, width * height) * (_PIXEL_BYTES + 3) + 3 * len(kept)
    return PricedPicture("HEIC", width, height, work_ns / 1e9, memory, (bytes(kept),))


def _coded_pixels(data: bytearray, item: Item, parts: PartCount) -> int:
    """Return how many pixels the sets among an item's units allow; raise UnsupportedPicture for several pictures."""
    start, _ = item.configuration
    content = b"".join(data[offset : offset + length] for offset, length in item.extents)
    pictures = pixels = 0
    for unit in _units(content, (data[start + 21] & 3) + 1, parts):
        kind = unit[0] >> 1 & 63
        if kind == _SEQUENCE_SET:
            pixels = max(pixels, _pixels(unit, parts))
        elif kind < _CODED_TYPES:
            pictures += unit[2] >> 7  # first_slice_segment_in_pic_flag
    if pictures > 1:
        raise UnsupportedPicture("a HEIC of several pictures in one is not read; send a still picture")
    return pixels


def _units(content: bytes, length_size: int, parts: PartCount) -> Iterator[bytes]:
    at = 0
    while at + length_size + 3 <= len(content):
        parts.add()
        length = int.from_bytes(content[at : at + length_size], "big")
        at += length_size
        if length >= 3:
            yield content[at : at + min(length, 512)]
        at += length


def _configured_pixels(data: bytearray, start: int, end: int, parts: PartCount) -> int:
    """Return how many pixels the sets of a decoder configuration allow."""
    if end - start < 23:
        raise CorruptPicture(_DAMAGED)
    pixels, at = 0, start + 23
    for _ in range(data[start + 22]):
        if at + 3 > end:
            break
        kind, count = data[at] & 63, int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        parts.add(1 + count)
        for _ in range(count):
            length = int.from_bytes(data[at : at + 2], "big")
            at += 2
            if at + length > end:
                raise CorruptPicture(_DAMAGED)
            if kind == _SEQUENCE_SET:
                pixels = max(pixels, _pixels(bytes(data[at : at + length]), parts))
            at += length
    return pixels


def _pixels(sequence_set: bytes, parts: PartCount) -> int:
    """Read how many pixels a sequence parameter set gives its pictures."""
    parts.add(HEADER_PARTS)
    bits = Bits(sequence_set[2:512].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1)
    bits.take(96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        bits.take(88 * profile)
        bits.take(8 * level)
    bits.exponential_golomb()
    if bits.exponential_golomb() == 3:
        bits.take(1)
    return bits.exponential_golomb() * bits.exponential_golomb()
