"""Headers that are written bit by bit."""

from __future__ import annotations

from typing import Final

from service.errors import CorruptPicture

_LONGEST: Final = 512
_MOST_ZEROS: Final = 32
"""Zeros in front of the largest number of H.265's code ue(v)."""
_DAMAGED: Final = "a header of the picture is damaged; send it encoded anew"


class Bits:
    """Reads a number after the other from the first 512 bytes, highest bit first; beyond the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        """Begin with the first bit."""
        self._bits = int.from_bytes(data[:_LONGEST].ljust(_LONGEST, b"\0"), "big")
        self._left = 8 * _LONGEST

    def take(self, count: int) -> int:
        """Return the next `count` bits; raise CorruptPicture where so many cannot be meant."""
        self._left -= count
        if self._left < 0:
            raise CorruptPicture(_DAMAGED)
        return self._bits >> self._left & (1 << count) - 1

    def exponential_golomb(self) -> int:
        """Return the next number of H.265's code ue(v), section 9.2; raise CorruptPicture where it has no end."""
        ahead = _MOST_ZEROS + 1
        zeros = ahead - self.take(ahead).bit_length()
        if zeros > _MOST_ZEROS:
            raise CorruptPicture(_DAMAGED)
        self._left += ahead - zeros
        return self.take(zeros + 1) - 1
