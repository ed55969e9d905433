"""The picture formats that are read, recognised by their first bytes, never by the file name."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Final

# Named here, or Pillow would import every plugin that it has to find the one that is asked for.
from PIL import AvifImagePlugin, Image, ImageFile, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from service.errors import CorruptPicture, EmptyPicture, UnsupportedPicture

# One decode, one thread: what a picture costs is paid by the worker that decodes it.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# The limit on pixels is `decode_image`'s own; Pillow's warns by a filter that is not safe between threads.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A format by the name that people know, Pillow's name, and the endings and media types of its files."""

    name: str
    plugin: str
    suffixes: tuple[str, ...]
    media_types: tuple[str, ...]


JPEG: Final = PictureFormat("JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), ("image/jpeg",))
PNG: Final = PictureFormat("PNG", "PNG", (".png",), ("image/png",))
WEBP: Final = PictureFormat("WebP", "WEBP", (".webp",), ("image/webp",))
AVIF: Final = PictureFormat("AVIF", "AVIF", (".avif",), ("image/avif",))
HEIC: Final = PictureFormat("HEIC", "HEIF", (".heic", ".heif"), ("image/heic", "image/heif"))

READ: Final = (JPEG, PNG, WEBP, AVIF, HEIC)
"""Formats that are read; HEIC with the extra `heif` only."""

NOT_READ: Final = {".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Endings of pictures that are recognised and refused; docs/adr/0014 says why."""

SUFFIXES: Final = frozenset({suffix for kind in READ for suffix in kind.suffixes} | NOT_READ.keys())
"""Endings of the pictures in a folder.

Formats that are not read are among them: an error that says so is better than a picture left out silently.
"""

SEND: Final = "send JPEG, PNG, WebP or AVIF"
_NO_HEIC: Final = f"HEIC needs the extra agelens[heif], which is not installed here; {SEND}"

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_REFUSED: Final = ((b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%PDF", "PDF"))


def recognised(data: bytes) -> PictureFormat:
    """Recognise the format by its signature; raise EmptyPicture, or UnsupportedPicture where it cannot be read here."""
    if not data:
        raise EmptyPicture(f"the picture is empty (0 bytes); {SEND}")
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp" and (found := _by_brands(data)):
        if found is HEIC and not find_spec("pillow_heif"):
            raise UnsupportedPicture(_NO_HEIC)
        return found
    for signature, name in _REFUSED:
        if data.startswith(signature):
            raise UnsupportedPicture(f"{name} files are not read; {SEND}")
    raise UnsupportedPicture(f"not a picture the service reads; {SEND}")


def open_picture(data: bytes) -> ImageFile.ImageFile:
    """Read a picture's header, no pixels.

    Raises:
        EmptyPicture: there are no bytes.
        UnsupportedPicture: no signature of a format that is read.
        CorruptPicture: such a signature, and a broken header.
    """
    kind = recognised(data)
    if kind is HEIC and not _reads_heic():
        raise UnsupportedPicture(_NO_HEIC)
    try:
        return Image.open(io.BytesIO(data), formats=(kind.plugin,))
    except Exception as error:  # Pillow's plugins, zlib and struct raise types of their own on damaged files
        raise CorruptPicture("the picture's header is damaged; send a complete file") from error


def _by_brands(data: bytes) -> PictureFormat | None:
    """Tell AVIF from HEIC, which share a container, by the brands of its first box."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[at : at + 4] for at in (8, *range(16, size, 4))}
    return AVIF if brands & _AVIF_BRANDS else HEIC if brands & _HEIF_BRANDS else None


@cache
def _reads_heic() -> bool:
    """Register the reader of HEIC, if it is installed, when the first such picture comes."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True
