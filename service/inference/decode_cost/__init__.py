"""A price before the work: what decoding a picture takes, found from its structure without touching a pixel."""

from __future__ import annotations

from service.errors import UnsupportedPicture
from service.inference.decode_cost import avif, jpeg, png, webp
from service.inference.decode_cost.priced import PricedPicture

__all__ = ["PricedPicture", "price"]


def price(data: bytes) -> PricedPicture:
    """Price an encoded picture, in time linear in its bytes, and strip it of all that does not make pixels.

    Raises:
        UnsupportedPicture: not of a format, or a kind of it, that the service reads.
        CorruptPicture: damaged before its first pixel.
        PictureTooLarge: so many segments, chunks or boxes that reading them alone would be work.
    """
    if not data:
        raise UnsupportedPicture("the picture is empty (0 bytes); send a JPEG, PNG or WebP file")
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.price(data)
    if data.startswith(png.SIGNATURE):
        return png.price(data)
    if data.startswith(webp.SIGNATURE) and data[8:12] == webp.KIND:
        return webp.price(data)
    if data[4:8] == b"ftyp" and any(data[at : at + 4] in avif.BRANDS[:2] for at in range(8, 64, 4)):
        return avif.price(data)
    raise UnsupportedPicture("not a picture the service reads; send JPEG, PNG or WebP")
