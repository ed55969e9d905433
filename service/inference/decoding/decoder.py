"""Decoders for a pipeline: in this process, or in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Protocol

from service.inference.decoding.cost import price
from service.inference.decoding.limits import DecodeLimits
from service.inference.decoding.photo import Photo, decode_image

Decode = Callable[[int | None], Photo]
"""Decodes a picture that is open; the number is the shorter side to keep, None for the full size."""


class Decoder(Protocol):
    """Opens encoded pictures. Belongs to one thread."""

    def open(self, data: bytes, max_pixels: int, checkpoint: Callable[[], None]) -> AbstractContextManager[Decode]:
        """Yield a function that decodes `data`; `checkpoint` raises to stop. Raises PictureError."""
        ...

    def close(self) -> None:
        """Free its resources."""
        ...


class DirectDecoder:
    """Decodes in this process what is priced within limits; a decoder that takes more than its price is not stopped."""

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        """Decode within `limits`; by default those of the service's default settings."""
        self._limits = limits or DecodeLimits()

    @contextmanager
    def open(self, data: bytes, max_pixels: int, checkpoint: Callable[[], None]) -> Iterator[Decode]:  # noqa: ARG002
        """Yield a function that decodes `data`; raise UnsupportedPicture, CorruptPicture or PictureTooLarge."""
        picture = self._limits.admitted(price(data, max_pixels))
        stripped = picture.data

        def decode(min_side: int | None) -> Photo:
            photo = decode_image(stripped, max_pixels=max_pixels, min_side=picture.side(min_side))
            return replace(photo, priced_s=picture.processor_s)

        yield decode

    def close(self) -> None:
        """Do nothing: there is nothing to free."""
