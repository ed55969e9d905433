"""The estimated cost of decoding a picture, and the bytes that the decoder gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.errors import PictureTooLarge

MAX_PARTS: Final = 10_000
"""Segments, chunks, or boxes with all that they list, of one file.

A 20 MB PNG in chunks of 8 kB, libpng's default, has 2,500.
"""

HEADER_PARTS: Final = 20
"""What a header that is read bit by bit counts as: 500 of them are as many as a file may have."""


class PartCount:
    """Counts what is looked at in one file. One of each kind inside another would multiply, so all kinds add up."""

    def __init__(self, name: str) -> None:
        """Start at none; `name` is that of the format."""
        self._name = name
        self._count = 0

    def add(self, count: int = 1) -> None:
        """Count `count` more, before they are looked at; raise PictureTooLarge beyond `MAX_PARTS`."""
        self._count += count
        if self._count > MAX_PARTS:
            raise PictureTooLarge(f"the {self._name} has more than {MAX_PARTS:,} parts; send it encoded anew")


@dataclass(frozen=True, slots=True)
class PricedPicture:
    """An encoded picture of `width` x `height` pixels as stored, and upper estimates of what decoding it takes.

    `pieces`, one after the other, are what decides the pixels and which way is up, and nothing else: no profiles,
    texts, thumbnails or further frames, so they can cost nothing. They may be views of the file that was priced.
    `at_once`: decoding takes long at any scale, so it is done once at the full size and not at a reduced one first.
    The estimates are for 1/`divisor` of the size; `smaller` is the same picture at half of that, where it has one scan.
    """

    format: str
    width: int
    height: int
    processor_s: float
    memory_bytes: int
    pieces: tuple[bytes | memoryview, ...]
    at_once: bool = False
    divisor: int = 1
    one_scan: bool = False
    smaller: PricedPicture | None = None

    @property
    def data(self) -> bytes:
        """All pieces in one copy."""
        return b"".join(self.pieces)

    def side(self, min_side: int | None) -> int | None:
        """Return the shorter side to decode to, where `min_side` is asked for: no finer than the scale of the price."""
        if self.at_once:
            return None
        if self.divisor == 1:
            return min_side
        most = min(self.width, self.height) // self.divisor
        return most if min_side is None else min(min_side, most)

    @property
    def remedy(self) -> str:
        """What makes it cheaper to decode."""
        return "scale it down" if self.one_scan else "scale it down or save it as a baseline JPEG"

    @property
    def pixels(self) -> int:
        """Number of pixels according to the header."""
        return self.width * self.height
