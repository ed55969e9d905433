"""AVIF: what its AV1 frames cost (AV1 bitstream specification, sections 5.3, 5.5 and 5.9)."""

from __future__ import annotations

from typing import Final

from service.errors import CorruptPicture, UnsupportedPicture
from service.inference.decoding.cost import rates
from service.inference.decoding.cost.bits import Bits
from service.inference.decoding.cost.bmff import Item, read_items, uses
from service.inference.decoding.cost.priced import HEADER_PARTS, PartCount, PricedPicture

_PIXEL_BYTES: Final = 22
"""Bytes of a pixel: AV1's planes of 16 bits, libavif's RGB, Pillow's copy and Pillow's picture."""
_SEQUENCE_HEADER, _FRAME_HEADER, _TILE_GROUP, _FRAME, _TILE_LIST = 1, 3, 4, 6, 8
_SELECT: Final = 2
"""SELECT_SCREEN_CONTENT_TOOLS and SELECT_INTEGER_MV: each frame says so itself."""


def price(data: bytes) -> PricedPicture:
    """Price an AVIF by its items; raise CorruptPicture, UnsupportedPicture or PictureTooLarge."""
    kept = bytearray(data)
    parts = PartCount("AVIF")
    primary, items = read_items(kept, parts)
    if primary not in items or not all(items[primary].size):
        raise CorruptPicture("the AVIF does not say how large its picture is; send it encoded anew")
    width, height = items[primary].size
    kept[8:12] = b"avif"  # Pillow goes by the major brand alone
    coded = {number: item for number, item in items.items() if item.kind == b"av01"}
    if not coded or items[primary].kind not in (b"av01", b"grid"):
        raise UnsupportedPicture("the file has no AV1 picture in it; send JPEG, PNG or WebP")
    used = uses(items)
    pixels = sum(max(1, used[number]) * _coded_pixels(kept, item, parts) for number, item in coded.items())
    work_ns = rates.START_NS + pixels * rates.AVIF_PIXEL_NS + width * height * rates.FINISH_NS
    work_ns += sum(max(1, used[number]) * item.length for number, item in coded.items()) * rates.AVIF_BYTE_NS
    memory = max(pixels, width * height) * (_PIXEL_BYTES + 3) + 3 * len(kept)
    return PricedPicture("AVIF", width, height, work_ns / 1e9, memory, (bytes(kept),))


def _coded_pixels(data: bytearray, item: Item, parts: PartCount) -> int:
    """Return how many pixels an item's only frame has; raise UnsupportedPicture where it has several."""
    content = b"".join(data[offset : offset + length] for offset, length in item.extents)
    at, frames, pixels = 0, 0, 0
    sequence: _Sequence | None = None
    while at < len(content):
        parts.add()
        head = content[at]
        kind, extended, sized = head >> 3 & 15, head & 4, head & 2
        at += 2 if extended else 1
        length, at = _leb128(content, at) if sized else (len(content) - at, at)
        unit = content[at : at + length]
        at += length
        if kind == _SEQUENCE_HEADER:
            parts.add(HEADER_PARTS)
            sequence = _Sequence(Bits(unit))
            pixels = max(pixels, sequence.width * sequence.height)
        elif kind in (_FRAME_HEADER, _FRAME):
            frames += 1
            if frames > 1:
                raise UnsupportedPicture("an AVIF of several frames is not read; send a still picture")
            if sequence is None or not sequence.frame_is_whole(Bits(unit)):
                raise UnsupportedPicture("this kind of AVIF is not read; send a still picture of one frame")
        elif kind == _TILE_LIST:
            raise UnsupportedPicture("this kind of AVIF is not read; send a still picture of one frame")
    return pixels


class _Sequence:
    """What of a sequence header decides how large a frame can be."""

    def __init__(self, bits: Bits) -> None:
        bits.take(4)
        self.reduced = bool(bits.take(1))
        if self.reduced:
            bits.take(5)
        else:
            self._skip_operating_points(bits)
        across, down = bits.take(4) + 1, bits.take(4) + 1
        self.width, self.height = bits.take(across) + 1, bits.take(down) + 1
        self._identifier_bits = 0
        if not self.reduced and bits.take(1):
            self._identifier_bits = bits.take(4) + bits.take(3) + 3
        bits.take(3)
        self._screen_content = self._integer_motion = _SELECT
        if not self.reduced:
            self._read_tools(bits)

    def frame_is_whole(self, bits: Bits) -> bool:
        """Say whether a frame is a key frame that is shown, of the sequence's own size."""
        if self.reduced:
            return True
        if bits.take(1) or bits.take(2) or not bits.take(1):
            return False
        bits.take(1)
        screen_content = bits.take(1) if self._screen_content == _SELECT else self._screen_content
        if screen_content and self._integer_motion == _SELECT:
            bits.take(1)
        bits.take(self._identifier_bits)
        return not bits.take(1)

    @staticmethod
    def _skip_operating_points(bits: Bits) -> None:
        if bits.take(1):
            raise UnsupportedPicture("an AVIF with a film's timing is not read; send a still picture")
        delay_present = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delay_present and bits.take(1):
                bits.take(4)

    def _read_tools(self, bits: Bits) -> None:
        bits.take(4)
        ordered = bits.take(1)
        bits.take(2 * ordered)
        if not bits.take(1):
            self._screen_content = bits.take(1)
        if self._screen_content and not bits.take(1):
            self._integer_motion = bits.take(1)


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    raise CorruptPicture("the AVIF's units are cut off; send a complete file")
