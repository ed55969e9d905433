"""AVIF and HEIC files whose boxes are more work to read than their bytes let one expect (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct

from benchmarks.soak.adversarial_jpeg import noise


def box(kind: bytes, content: bytes) -> bytes:
    """Write a box."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def avif_of_several_frames(frames: int = 1000) -> bytes:
    """Repeat the coded frame of a still picture within its item."""
    data = _small()
    unit = data[data.index(b"mdat") + 4 :]
    header = 2 + 2 + unit[3]  # temporal delimiter, and the sequence header with its length
    return _with_items(data, 1, unit + unit[header:] * (frames - 1))


def avif_many_units(items: int = 9000, units: int = 1000, unit: bytes = b"\x0a\0") -> bytes:
    """Give thousands of items thousands of units each, of two bytes: sequence headers without content."""
    return _with_items(_small(), items, unit * units)


def avif_operating_points(headers: int = 9900) -> bytes:
    """Put sequence headers into an item, each with all 32 operating points."""
    points = "1".join(["0" * 12 + "1" * 5] * 32)
    bits = "0" * 7 + "1" * 5 + points + "0" * 40
    header = int(bits.ljust(640, "0"), 2).to_bytes(80, "big")
    return _with_items(_small(), 1, (b"\x0a" + bytes([len(header)]) + header) * headers)


def heic_parameter_sets(sets: int = 9900, zeros: int = 32) -> bytes:
    """Put sequence parameter sets into an item, each with three codes for 0 and one that begins with so many zeros."""
    bits = "0100001000000001" + "0" * 104 + "111" + "0" * zeros + "1"
    unit = int(bits.ljust(4096, "0"), 2).to_bytes(512, "big")
    return _with_items(_small("HEIF"), 1, (struct.pack(">I", len(unit)) + unit) * sets, b"hvc1")


def avif_shared_items(items: int = 3000) -> bytes:
    """Give thousands of items the same bytes."""
    data = noise(256, 256, "AVIF", speed=10)
    at, size = _place(data, b"iloc")
    entry = data[at + 16 : at + size]
    number = struct.unpack_from(">H", entry)[0]
    entries = b"".join(struct.pack(">H", number + index) + entry[2:] for index in range(items))
    return _with(data, b"iloc", data[at + 8 : at + 14] + struct.pack(">H", items) + entries)


def empty_extents(items: int = 1000, fmt: str = "AVIF") -> bytes:
    """Give each item 65,535 extents whose places and lengths are written in no bytes at all."""
    entries = b"".join(struct.pack(">HHIH", index + 1, 0, 2**31 - 1, 65_535) for index in range(items))
    return _with(_small(fmt), b"iloc", bytes(4) + b"\x00\x40" + struct.pack(">H", items) + entries)


def entries_without_links(entries: int = 6_000_000, fmt: str = "AVIF") -> bytes:
    """Say of millions of items that they have no properties, in three bytes each."""
    data = _small(fmt)
    at, size = _place(data, b"iprp")
    empty = box(b"ipma", bytes(4) + struct.pack(">I", entries) + bytes(3 * entries))
    return _with(data, b"iprp", data[at + 8 : at + size] + empty)


def many_properties(containers: int = 200, fmt: str = "AVIF") -> bytes:
    """Fill containers of properties with ten thousand empty boxes each."""
    data = _small(fmt)
    at, size = _place(data, b"iprp")
    return _with(data, b"iprp", data[at + 8 : at + size] + box(b"ipco", box(b"free", b"") * 9990) * containers)


def heic_shared_configuration(items: int = 9000, kilobytes: int = 60) -> bytes:
    """Give thousands of items the same decoder configuration, long and full of empty parameter sets."""
    data = _small("HEIF")
    at, size = _place(data, b"hvcC")
    sets = b"\x22" + struct.pack(">H", 500 * kilobytes) + bytes(1000 * kilobytes)
    grown = box(b"hvcC", data[at + 8 : at + 8 + 22] + b"\1" + sets)
    data = _exchanged(data, (b"meta", b"iprp", b"ipco"), at, size, grown)
    at, size = _place(data, b"ipma")
    flags = data[at + 8 : at + 12]
    (count,) = struct.unpack_from(">I", data, at + 12)
    first = data[at + 16 : at + size]
    linked = first[2 : 3 + first[2] * (1 + (flags[3] & 1))]
    assert count >= 1
    links = flags + struct.pack(">I", items) + b"".join(struct.pack(">H", n + 1) + linked for n in range(items))
    data = _exchanged(data, (b"meta", b"iprp"), at, size, box(b"ipma", links))
    return _with_kinds(data, items, b"hvc1")


def heic_repeated_tile(rows: int = 48, columns: int = 48) -> bytes:
    """Make a grid of one tile of 64 x 64 pixels, again and again: a large picture in four kilobytes."""
    data, size = _small("HEIF"), struct.pack(">II", 64 * columns, 64 * rows)
    at, length = _place(data, b"ipco")
    properties = data[at + 8 : at + length]
    count, place = 1, 0
    while place < len(properties):
        count, place = count + 1, place + struct.unpack_from(">I", properties, place)[0]
    larger = box(b"ipco", properties + box(b"ispe", bytes(4) + size))
    data = _exchanged(data, (b"meta", b"iprp"), at, length, larger)
    at, length = _place(data, b"ipma")
    (entries,) = struct.unpack_from(">I", data, at + 12)
    links = data[at + 8 : at + 12] + struct.pack(">I", entries + 1) + data[at + 16 : at + length]
    links += struct.pack(">HBB", 2, 1, count)
    data = _exchanged(data, (b"meta", b"iprp"), at, length, box(b"ipma", links))
    tile, grid = (box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", *each) + b"\0") for each in _TILE_AND_GRID)
    data = _with(data, b"iinf", bytes(4) + struct.pack(">H", 2) + tile + grid)
    data = _with(data, b"pitm", bytes(4) + struct.pack(">H", 2))
    references = struct.pack(">HH", 2, rows * columns) + struct.pack(">H", 1) * (rows * columns)
    header = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, 64 * columns, 64 * rows)
    at, length = _place(data, b"pitm")
    more = box(b"iref", bytes(4) + box(b"dimg", references)) + box(b"idat", header)
    data = _exchanged(data, (b"meta",), at, length, data[at : at + length] + more)

    def placed(first: int, count: int) -> bytes:
        places = struct.pack(">HHHHII", 1, 0, 0, 1, first, count) + struct.pack(">HHHHII", 2, 1, 0, 1, 0, len(header))
        return _with(data, b"iloc", b"\1\0\0\0\x44\0" + struct.pack(">H", 2) + places)

    first = placed(0, 0).index(b"mdat") + 4
    return placed(first, len(placed(0, 0)) - first)


_TILE_AND_GRID = ((1, 0, b"hvc1"), (2, 0, b"grid"))


def _small(fmt: str = "AVIF") -> bytes:
    return noise(64, 64, fmt, **({"speed": 10} if fmt == "AVIF" else {}))


def _place(data: bytes, kind: bytes) -> tuple[int, int]:
    """Return where a box begins, and its size."""
    at = data.index(kind) - 4
    return at, struct.unpack_from(">I", data, at)[0]


def _with(data: bytes, kind: bytes, content: bytes) -> bytes:
    """Give a box inside `meta` other content."""
    return _exchanged(data, (b"meta",), *_place(data, kind), box(kind, content))


def _exchanged(data: bytes, around: tuple[bytes, ...], at: int, size: int, replacement: bytes) -> bytes:
    """Put another box in the place of one, and let the boxes around it grow."""
    grown = bytearray(data)
    for kind in around:
        place, length = _place(data, kind)
        struct.pack_into(">I", grown, place, length + len(replacement) - size)
    grown[at : at + size] = replacement
    return bytes(grown)


def _with_kinds(data: bytes, items: int, kind: bytes) -> bytes:
    entries = b"".join(
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", index + 1, 0, kind) + b"\0") for index in range(items)
    )
    return _with(data, b"iinf", bytes(4) + struct.pack(">H", items) + entries)


def _with_items(data: bytes, items: int, content: bytes, kind: bytes = b"av01") -> bytes:
    """Give a file so many items, each with a copy of `content` of its own."""
    data = _with_kinds(data[: data.index(b"mdat") - 4], items, kind)

    def placed(first: int) -> bytes:
        places = (struct.pack(">HHHII", n + 1, 0, 1, first + n * len(content), len(content)) for n in range(items))
        return _with(data, b"iloc", bytes(4) + b"\x44\0" + struct.pack(">H", items) + b"".join(places))

    return placed(len(placed(0)) + 8) + box(b"mdat", content * items)
