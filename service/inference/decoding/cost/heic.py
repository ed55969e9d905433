"""HEIC: what its HEVC pictures cost (ITU-T H.265, sections 7.3.1 and 7.3.2; ISO/IEC 14496-15, section 8.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.errors import CorruptPicture, PictureTooLarge, UnsupportedPicture
from service.inference.decoding.cost import rates
from service.inference.decoding.cost.bits import Bits
from service.inference.decoding.cost.bmff import Item, read_items
from service.inference.decoding.cost.priced import MAX_PARTS, PricedPicture

_PIXEL_BYTES: Final = 20
"""Bytes of a pixel: planes of 16 bits, libheif's RGB, Pillow's copy and Pillow's picture."""
_SEQUENCE_SET: Final = 33
_CODED_TYPES: Final = 32
"""Units of lower types hold coded pixels."""
_DAMAGED: Final = "the HEIC's units are cut off or damaged; send a complete file"


def price(data: bytes) -> PricedPicture:
    """Price a HEIC by its items; raise CorruptPicture, UnsupportedPicture or PictureTooLarge."""
    kept = bytearray(data)
    primary, items = read_items(kept)
    if primary not in items or not all(items[primary].size):
        raise CorruptPicture("the HEIC does not say how large its picture is; send it encoded anew")
    width, height = items[primary].size
    coded = [item for item in items.values() if item.kind in (b"hvc1", b"hev1")]
    if not coded or items[primary].kind not in (b"hvc1", b"hev1", b"grid"):
        raise UnsupportedPicture("the file has no HEVC picture in it; send JPEG, PNG, WebP or AVIF")
    pixels = sum(_coded_pixels(kept, item) for item in coded)
    work_ns = rates.START_NS + pixels * rates.HEIC_PIXEL_NS + width * height * rates.FINISH_NS
    work_ns += sum(item.length for item in coded) * rates.HEIC_BYTE_NS
    memory = max(pixels, width * height) * (_PIXEL_BYTES + 3) + 3 * len(kept)
    return PricedPicture("HEIC", width, height, work_ns / 1e9, memory, bytes(kept))


def _coded_pixels(data: bytearray, item: Item) -> int:
    """Return how many pixels an item's only picture has; raise UnsupportedPicture where it has several."""
    start, end = item.configuration
    if end - start < 23:
        raise CorruptPicture(_DAMAGED)
    sets = list(_sequence_sets(data[start:end]))
    content = b"".join(data[offset : offset + length] for offset, length in item.extents)
    pictures = 0
    for unit in _units(content, (data[start + 21] & 3) + 1):
        kind = unit[0] >> 1 & 63
        if kind == _SEQUENCE_SET:
            sets.append(unit)
        elif kind < _CODED_TYPES:
            pictures += unit[2] >> 7  # first_slice_segment_in_pic_flag
    if pictures > 1:
        raise UnsupportedPicture("a HEIC of several pictures in one is not read; send a still picture")
    return max((_pixels(each) for each in sets), default=0)


def _units(content: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    for _ in range(MAX_PARTS):
        if at + length_size + 3 > len(content):
            return
        length = int.from_bytes(content[at : at + length_size], "big")
        at += length_size
        if length >= 3:
            yield content[at : at + min(length, 512)]
        at += length
    raise PictureTooLarge(f"the HEIC has more than {MAX_PARTS:,} units; send it encoded anew")


def _sequence_sets(configuration: bytes | bytearray) -> Iterator[bytes]:
    at = 23
    for _ in range(configuration[22]):
        kind, count = configuration[at] & 63, int.from_bytes(configuration[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            length = int.from_bytes(configuration[at : at + 2], "big")
            at += 2
            if at + length > len(configuration):
                raise CorruptPicture(_DAMAGED)
            if kind == _SEQUENCE_SET:
                yield bytes(configuration[at : at + length])
            at += length
        if at > len(configuration) - 3:
            return


def _pixels(sequence_set: bytes) -> int:
    """Read how many pixels a sequence parameter set gives its pictures."""
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
