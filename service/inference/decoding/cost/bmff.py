"""Boxes and items of ISO base media files (ISO/IEC 14496-12, 23008-12), which AVIF and HEIC pictures are."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from service.errors import CorruptPicture, PictureTooLarge, UnsupportedPicture
from service.inference.decoding.cost.priced import PartCount

_CUT: Final = "the picture's boxes are cut off or damaged; send a complete file"
_OF_TILES: Final = (b"grid", b"iovl")
_STILL_BRANDS: Final = ((b"avis", b"avif"), (b"msf1", b"mif1"))
"""Brands of films, which decoders refuse without a track, and those of still pictures."""
_METADATA: Final = (b"Exif", b"mime", b"uri ")


class Box(NamedTuple):
    """A box's type and where its content lies."""

    kind: bytes
    start: int
    end: int


@dataclass(slots=True)
class Item:
    """A coded picture or a description: type, size in pixels, decoder configuration, bytes, and its tiles' numbers."""

    kind: bytes = b""
    size: tuple[int, int] = (0, 0)
    configuration: tuple[int, int] = (0, 0)
    extents: list[tuple[int, int]] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Bytes of all extents."""
        return sum(length for _, length in self.extents)


def uses(items: Mapping[int, Item]) -> Counter[int]:
    """Return how often each item is a tile of others, which may use one again and again.

    Raises UnsupportedPicture where a tile is made of tiles itself, which no camera writes.
    """
    count = Counter(tile for item in items.values() if item.kind in _OF_TILES for tile in item.tiles)
    if any(items[tile].kind in _OF_TILES for tile in count if tile in items):
        raise UnsupportedPicture("a picture whose tiles are made of tiles is not read; send JPEG, PNG or WebP")
    return count


def boxes(data: bytes | bytearray, start: int, end: int, parts: PartCount) -> Iterator[Box]:
    """Yield the boxes between two offsets; raise CorruptPicture where one goes beyond, PictureTooLarge for too many."""
    while start + 8 <= end:
        parts.add()
        length, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if length == 1 and start + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, content)
            content += 8
        until = start + length if length else end
        if until < content or until > end:
            raise CorruptPicture(_CUT)
        yield Box(kind, content, until)
        start = until


def read_items(data: bytearray, parts: PartCount) -> tuple[int, dict[int, Item]]:
    """Return the primary item's number and all items; texts and EXIF among them are renamed so that none is read.

    Tracks and the brands of films are renamed as well: what remains is the still picture.

    Raises CorruptPicture or PictureTooLarge.
    """
    try:
        return _read_items(data, parts)
    except (struct.error, IndexError):
        raise CorruptPicture(_CUT) from None


def _read_items(data: bytearray, parts: PartCount) -> tuple[int, dict[int, Item]]:
    meta = None
    for box in boxes(data, 0, len(data), parts):
        if box.kind == b"ftyp":
            for film, still in _STILL_BRANDS:
                data[box.start : box.end] = data[box.start : box.end].replace(film, still)
        elif box.kind == b"meta" and meta is None:
            meta = box
        elif box.kind in (b"moov", b"meta"):
            at = data.rindex(box.kind, 0, box.start)
            data[at : at + 4] = b"free"
    if meta is None:
        raise CorruptPicture("the file has no still picture in it; send JPEG, PNG or WebP")
    children = list(boxes(data, meta.start + 4, meta.end, parts))
    inside = {box.kind: box for box in children}
    items: dict[int, Item] = {}
    if not {b"pitm", b"iinf", b"iloc", b"iprp"} <= inside.keys():
        raise CorruptPicture(_CUT)
    _read_kinds(data, inside[b"iinf"], items, parts)
    _read_places(data, inside[b"iloc"], inside.get(b"idat"), items, parts)
    _read_properties(data, inside[b"iprp"], items, parts)
    for box in children:
        if box.kind == b"iref":
            _read_tiles(data, box, items, parts)
    primary = inside[b"pitm"]
    (number,) = struct.unpack_from(">I" if data[primary.start] else ">H", data, primary.start + 4)
    return number, items


def _read_kinds(data: bytearray, box: Box, items: dict[int, Item], parts: PartCount) -> None:
    first = box.start + (8 if data[box.start] else 6)
    for entry in boxes(data, first, box.end, parts):
        version = data[entry.start]
        number, at = struct.unpack_from(">I" if version == 3 else ">H", data, entry.start + 4)[0], entry.start + 8
        at += 2 if version == 3 else 0
        kind = bytes(data[at : at + 4])
        if kind in _METADATA:
            data[at : at + 4] = b"skip"
        items.setdefault(number, Item()).kind = kind


def _read_places(data: bytearray, box: Box, inline: Box | None, items: dict[int, Item], parts: PartCount) -> None:
    version = data[box.start]
    sizes = data[box.start + 4 : box.start + 6]
    offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_size = sizes[1] & 15 if version else 0
    at, wide = box.start + 6, version == 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > box.end:
            raise CorruptPicture(_CUT)
        return int.from_bytes(data[at - size : at], "big")

    total = 0
    for _ in range(number(4 if wide else 2)):
        parts.add()
        item = items.setdefault(number(4 if wide else 2), Item())
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_size) + (inline.start if method == 1 and inline else 0)
        extents = number(2)
        parts.add(extents)  # all at once: where their numbers have no bytes, a few bytes stand for 65,535 of them
        for _ in range(extents):
            number(index_size)
            offset, length = base + number(offset_size), number(length_size)
            item.extents.append((offset, length or max(0, len(data) - offset)))
            total += item.extents[-1][1]
            if total > 2 * len(data):
                raise PictureTooLarge("the picture's items share their bytes; send it encoded anew")


def _read_properties(data: bytearray, box: Box, items: dict[int, Item], parts: PartCount) -> None:
    inside = list(boxes(data, box.start, box.end, parts))
    containers = [part for part in inside if part.kind == b"ipco"]
    properties = [each for part in containers for each in boxes(data, part.start, part.end, parts)]
    for part in inside:
        if part.kind != b"ipma":
            continue
        wide, flags = data[part.start], data[part.start + 3]
        (count,) = struct.unpack_from(">I", data, part.start + 4)
        at = part.start + 8
        for _ in range(count):
            (number,) = struct.unpack_from(">I" if wide else ">H", data, at)
            at += 4 if wide else 2
            linked = data[at]
            at += 1
            parts.add(1 + linked)
            for _ in range(linked):
                index = (struct.unpack_from(">H", data, at)[0] & 0x7FFF) if flags & 1 else data[at] & 0x7F
                at += 2 if flags & 1 else 1
                if at > part.end:
                    raise CorruptPicture(_CUT)
                if 1 <= index <= len(properties):
                    _apply(data, properties[index - 1], items.setdefault(number, Item()))


def _read_tiles(data: bytearray, box: Box, items: dict[int, Item], parts: PartCount) -> None:
    wide = data[box.start]
    letter, size = ("I", 4) if wide else ("H", 2)
    for each in boxes(data, box.start + 4, box.end, parts):
        if each.kind != b"dimg":
            continue
        number, count = struct.unpack_from(f">{letter}H", data, each.start)
        parts.add(count)
        if each.start + size + 2 + count * size > each.end:
            raise CorruptPicture(_CUT)
        tiles = struct.unpack_from(f">{count}{letter}", data, each.start + size + 2)
        items.setdefault(number, Item()).tiles.extend(tiles)


def _apply(data: bytearray, box: Box, item: Item) -> None:
    if box.kind == b"ispe":
        width, height = struct.unpack_from(">II", data, box.start + 4)
        item.size = (width, height)
    elif box.kind == b"hvcC":
        item.configuration = (box.start, box.end)
