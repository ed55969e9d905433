"""What decoding one picture may take: processor time and memory, by its price."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from service.errors import PictureTooLarge

if TYPE_CHECKING:  # settings take their defaults from here without numpy
    from service.inference.decoding.cost import PricedPicture

MAX_DECODE_S: Final = 2.0
MAX_DECODE_MB: Final = 1024
_MB: Final = 2**20


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Most processor seconds and most bytes of memory for one picture."""

    max_s: float = MAX_DECODE_S
    max_bytes: int = MAX_DECODE_MB * _MB

    def admitted(self, picture: PricedPicture) -> PricedPicture:
        """Return the picture at the finest scale within the limits; raise PictureTooLarge where none is."""
        while picture.smaller and not self._allow(picture):
            picture = picture.smaller
        # Rounded up: what is over a limit must not look as if it were within.
        seconds, megabytes = math.ceil(10 * picture.processor_s) / 10, math.ceil(picture.memory_bytes / _MB)
        if picture.processor_s > self.max_s:
            raise PictureTooLarge(
                f"decoding the picture would take up to {seconds:.1f} s of a processor; "
                f"at most {self.max_s:g} s are allowed (in the service: AGELENS_MAX_DECODE_S); {picture.remedy}"
            )
        if picture.memory_bytes > self.max_bytes:
            raise PictureTooLarge(
                f"decoding the picture would take up to {megabytes} MB of memory; "
                f"at most {self.max_bytes // _MB} MB are allowed (in the service: AGELENS_MAX_DECODE_MB); scale it down"
            )
        return picture

    def _allow(self, picture: PricedPicture) -> bool:
        return picture.processor_s <= self.max_s and picture.memory_bytes <= self.max_bytes
