"""EXIF reduced to the one tag that decides pixels: which way is up."""

from __future__ import annotations

import re
import struct
from typing import Final

UPRIGHT: Final = 1
_TAG: Final = 0x0112
_SHORT: Final = 3
_LETTERS: Final = {1: "B", _SHORT: "H", 4: "I"}
"""For struct, by EXIF's types of whole numbers: BYTE, SHORT and LONG."""
_MOST_ENTRIES: Final = 1000
_XMP: Final = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")


def orientation_of(exif: bytes) -> int | None:
    """Return the orientation 1 to 8 that an EXIF block (a TIFF header and its directories) names, None if it does not.

    Only the first directory's entries are looked at, none of their values is fetched.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 14:
        return None
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, start)
    last = min(count, _MOST_ENTRIES, (len(exif) - start - 2) // 12)
    for at in range(start + 2, start + 2 + 12 * last, 12):
        tag, kind, _ = struct.unpack_from(order + "HHI", exif, at)
        if tag == _TAG and kind in _LETTERS:
            (value,) = struct.unpack_from(order + _LETTERS[kind], exif, at + 8)
            return value if 1 <= value <= 8 else None
    return None


def orientation_in_xmp(packet: bytes) -> int | None:
    """Return the orientation that an XMP packet names, None if it does not."""
    found = _XMP.search(packet)
    return int(found[1]) if found else None


def exif_with(orientation: int) -> bytes:
    """Make an EXIF block of 26 bytes that says nothing but the orientation."""
    return struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, _TAG, _SHORT, 1, orientation, 0, 0)
