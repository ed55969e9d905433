"""The estimated cost of decoding a picture, and the bytes that the decoder gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_SIDE: Final = 30_000
"""Longest side in pixels; OpenCV's remap addresses pixels with 16 bits."""

MAX_PARTS: Final = 10_000
"""Segments, chunks or boxes of one file: a 20 MB PNG in chunks of 8 kB, libpng's default, has 2,500."""


@dataclass(frozen=True, slots=True)
class PricedPicture:
    """An encoded picture of `width` x `height` pixels as stored, and upper estimates of what decoding it takes.

    `data` holds what decides the pixels and which way is up, and nothing else: no profiles, texts, thumbnails or
    further frames, so they can cost nothing.
    """

    format: str
    width: int
    height: int
    processor_s: float
    memory_bytes: int
    data: bytes

    @property
    def pixels(self) -> int:
        """Number of pixels according to the header."""
        return self.width * self.height
