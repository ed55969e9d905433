"""Estimate what decoding a picture costs, from its structure, without decoding a pixel."""

from __future__ import annotations

from service.errors import CorruptPicture, PictureError
from service.inference.decoding.cost import avif, heic, jpeg, png, webp
from service.inference.decoding.cost.priced import PricedPicture
from service.inference.decoding.formats import AVIF, HEIC, JPEG, PNG, WEBP, recognised

__all__ = ["PricedPicture", "price"]

_OTHERS = {PNG: png.price, WEBP: webp.price, AVIF: avif.price, HEIC: heic.price}


def price(data: bytes, max_pixels: int) -> PricedPicture:
    """Estimate the cost of a picture, in time linear in its bytes, and strip it of all but its pixels and orientation.

    A JPEG that has more than `max_pixels` is priced at the scale at which it is decoded.

    Raises:
        UnsupportedPicture: not of a format, or a kind of it, that the service reads.
        CorruptPicture: damaged before its first pixel.
        PictureTooLarge: so many segments, chunks or boxes that reading them alone would be work.
    """
    kind = recognised(data)
    try:
        return jpeg.price(data, max_pixels) if kind is JPEG else _OTHERS[kind](data)
    except (PictureError, MemoryError):
        raise
    except Exception as error:
        raise CorruptPicture(f"the structure of the {kind.name} is damaged; send it encoded anew") from error
