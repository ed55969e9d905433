"""Every format and mode is read with the right pixels, the right way up; what is broken or too large is refused."""

import io
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Transpose

from benchmarks.soak.adversarial import png_chunk
from service.errors import CorruptPicture, PictureTooLarge, UnsupportedPicture
from service.inference.decoding import formats as picture_formats
from service.inference.decoding.decoder import DirectDecoder
from service.inference.decoding.photo import Photo
from service.inference.faces import Pixels

COLOURS = ((210, 40, 30), (30, 170, 60), (40, 60, 200), (230, 220, 90))
"""Top left, top right, bottom left, bottom right."""
LOSSY = 14
PLUGINS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF")
picture_formats._reads_heic()


def decoded(data: bytes, max_pixels: int = 50_000_000, min_side: int | None = None) -> Photo:
    """Decode as a request does: priced, stripped, and only then read."""
    with DirectDecoder().open(data, max_pixels, lambda: None) as decode:
        return decode(min_side)


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    pixels = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(COLOURS):
        top, left = number // 2 * height // 2, number % 2 * width // 2
        pixels[top : top + height // 2, left : left + width // 2] = colour
    return Image.fromarray(pixels)


def encoded(image: Image.Image, plugin: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, plugin, **options)
    return stream.getvalue()


def middles(pixels: Pixels) -> list[list[int]]:
    """Colours in the middle of the four quarters."""
    height, width = pixels.shape[:2]
    return [pixels[y * height // 4, x * width // 4].astype(int).tolist() for y in (1, 3) for x in (1, 3)]


def grey(colour: tuple[int, ...]) -> tuple[int, int, int]:
    value = round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2])
    return (value, value, value)


def on_white(alpha: float) -> list[tuple[int, ...]]:
    return [tuple(round(alpha * value + (1 - alpha) * 255) for value in colour) for colour in COLOURS]


def half_seen(image: Image.Image) -> Image.Image:
    image.putalpha(128)
    return image


def palette_with_a_clear_entry() -> Image.Image:
    image = quarters().quantize(8)
    clear = image.getpixel((image.width - 1, image.height - 1))
    image.info["transparency"] = clear
    return image


def deep(top: int) -> Image.Image:
    """16-bit grey whose brightest quarter is `top`: the quarters are 0, a quarter, a half and the whole of it."""
    pixels = np.zeros((64, 96), np.uint16)
    for number, value in enumerate((0, top // 4, top // 2, top)):
        pixels[number // 2 * 32 :, number % 2 * 48 :][:32, :48] = value
    return Image.fromarray(pixels)


GREYS = [grey(colour) for colour in COLOURS]
DEPTHS = [(0, 0, 0), (64, 64, 64), (127, 127, 127), (255, 255, 255)]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

MODES: dict[str, tuple[Callable[[], bytes], Sequence[tuple[int, ...]]]] = {
    "JPEG L": (lambda: encoded(quarters().convert("L"), "JPEG"), GREYS),
    "JPEG RGB": (lambda: encoded(quarters(), "JPEG", subsampling=0, quality=95), COLOURS),
    "JPEG progressive": (lambda: encoded(quarters(), "JPEG", progressive=True, quality=95), COLOURS),
    "JPEG CMYK": (lambda: encoded(quarters().convert("CMYK"), "JPEG", quality=95), COLOURS),
    "JPEG of three scans": (lambda: one_scan_a_colour(quarters()), COLOURS),
    "MPO RGB": (lambda: encoded(quarters(), "MPO", save_all=True, append_images=[quarters().rotate(180)]), COLOURS),
    "PNG 1": (
        lambda: encoded(quarters().convert("1", dither=Image.Dither.NONE), "PNG"),
        [*[BLACK] * 3, WHITE],
    ),
    "PNG L": (lambda: encoded(quarters().convert("L"), "PNG"), GREYS),
    "PNG LA": (
        lambda: encoded(half_seen(quarters().convert("L")), "PNG"),
        [grey(c) for c in on_white(128 / 255)],
    ),
    "PNG P": (lambda: encoded(quarters().quantize(8), "PNG"), COLOURS),
    "PNG P with a clear entry": (lambda: encoded(palette_with_a_clear_entry(), "PNG"), [*COLOURS[:3], WHITE]),
    "PNG RGB": (lambda: encoded(quarters(), "PNG"), COLOURS),
    "PNG RGB with a clear colour": (lambda: encoded(quarters(), "PNG", transparency=COLOURS[0]), [WHITE, *COLOURS[1:]]),
    "PNG RGBA": (lambda: encoded(half_seen(quarters()), "PNG"), on_white(128 / 255)),
    "PNG I;16": (lambda: encoded(deep(65535), "PNG"), DEPTHS),
    "PNG I;16 of 12 bits": (lambda: encoded(deep(4095), "PNG"), DEPTHS),
    "PNG I;16 of 10 bits": (lambda: encoded(deep(1023), "PNG"), DEPTHS),
    "PNG I;16 of 8 bits": (lambda: encoded(deep(255), "PNG"), DEPTHS),
    "PNG I;16 with a clear value": (lambda: encoded(deep(4095), "PNG", transparency=0), [WHITE, *DEPTHS[1:]]),
    "PNG animated": (
        lambda: encoded(quarters(), "PNG", save_all=True, append_images=[quarters().rotate(180)]),
        COLOURS,
    ),
    "WEBP RGB": (lambda: encoded(quarters(), "WEBP", quality=95), COLOURS),
    "WEBP RGBA": (lambda: encoded(half_seen(quarters()), "WEBP", lossless=True), on_white(128 / 255)),
    "WEBP animated": (
        lambda: encoded(quarters(), "WEBP", save_all=True, append_images=[quarters().rotate(180)], lossless=True),
        COLOURS,
    ),
    "AVIF RGB": (lambda: encoded(quarters(), "AVIF", quality=95), COLOURS),
    "AVIF L": (lambda: encoded(quarters().convert("L"), "AVIF", quality=95), GREYS),
    "AVIF RGBA": (lambda: encoded(half_seen(quarters()), "AVIF", quality=95), on_white(128 / 255)),
    "AVIF animated": (
        lambda: encoded(quarters(), "AVIF", save_all=True, append_images=[quarters().rotate(180)], quality=95),
        COLOURS,
    ),
    "AVIF of another major brand": (
        lambda: encoded(quarters(), "AVIF", quality=95).replace(b"ftypavif", b"ftypmiaf"),
        COLOURS,
    ),
    "HEIF RGB of a film's brand": (
        lambda: encoded(quarters(), "HEIF", quality=95).replace(b"mif1heicmiaf", b"mif1heicmsf1"),
        COLOURS,
    ),
    "HEIF RGB": (lambda: encoded(quarters(), "HEIF", quality=95), COLOURS),
    "HEIF L": (lambda: encoded(quarters().convert("L"), "HEIF", quality=95), GREYS),
    "HEIF RGBA": (lambda: encoded(half_seen(quarters()), "HEIF", quality=95), on_white(128 / 255)),
    "HEIF of 10 bits": (lambda: encoded(deep(65535), "HEIF", quality=95), DEPTHS),
}


@pytest.mark.parametrize("kind", MODES)
def test_every_mode_of_every_format_has_the_right_pixels(kind: str) -> None:
    make, expected = MODES[kind]
    photo = decoded(make())
    assert (photo.width, photo.height, photo.scale) == (96, 64, 1.0)
    assert photo.pixels.dtype == np.uint8
    difference = np.abs(np.subtract(middles(photo.pixels), expected)).max()
    assert difference <= (2 if kind.startswith("PNG") else LOSSY), middles(photo.pixels)


@pytest.mark.parametrize(("bits", "key"), [(bits, key) for bits in (1, 2, 4, 8) for key in range(min(16, 1 << bits))])
def test_one_grey_of_a_png_is_transparent_whatever_its_depth(bits: int, key: int) -> None:
    most = (1 << bits) - 1
    width = min(16, most + 1)  # every grey once, of 8 bits the darkest
    row = int("".join(f"{value:0{bits}b}" for value in range(width)).ljust(128, "0"), 2).to_bytes(16, "big")
    header = struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tRNS", struct.pack(">H", key)), (b"IDAT", zlib.compress(b"\0" + row)))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*each) for each in (*chunks, (b"IEND", b"")))
    seen = decoded(data).pixels[0, :, 0].tolist()
    assert seen == [255 if value == key else value * 255 // most for value in range(width)]


BACK = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.mark.parametrize("plugin", [*PLUGINS, "JPEG at a half"])
@pytest.mark.parametrize("orientation", BACK)
def test_every_orientation_of_every_format_comes_upright(plugin: str, orientation: int) -> None:
    turn = BACK[orientation]
    lying = quarters() if turn is None else quarters().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(lying, plugin.removesuffix(" at a half"), exif=exif.tobytes(), quality=95)
    photo = decoded(data, min_side=32 if "half" in plugin else None)
    assert (photo.width, photo.height) == (96, 64)
    assert photo.pixels.shape == ((32, 48, 3) if "half" in plugin else (64, 96, 3))
    assert np.abs(np.subtract(middles(photo.pixels), COLOURS)).max() <= LOSSY, middles(photo.pixels)


def test_a_reduced_square_still_swaps_its_sides() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = decoded(encoded(quarters(161, 160), "JPEG", exif=exif.tobytes()), min_side=20)
    assert (photo.width, photo.height) == (160, 161)


def test_a_jpeg_over_the_limit_is_decoded_smaller() -> None:
    photo = decoded(encoded(quarters(641, 481), "JPEG"), max_pixels=100_000)
    assert (photo.width, photo.height) == (641, 481)
    assert photo.pixels.shape == (241, 321, 3)


def test_a_jpeg_over_the_limit_stays_smaller_than_a_caller_would_have_it() -> None:
    photo = decoded(encoded(quarters(640, 480), "JPEG"), max_pixels=100_000, min_side=480)
    assert photo.pixels.shape == (240, 320, 3)


@pytest.mark.parametrize("plugin", ["PNG", "WEBP", "AVIF", "HEIF"])
def test_what_cannot_be_decoded_smaller_is_too_large_over_the_limit(plugin: str) -> None:
    data = encoded(quarters(640, 480), plugin)
    assert decoded(data, max_pixels=640 * 480).width == 640
    with pytest.raises(PictureTooLarge, match="640 x 480"):
        decoded(data, max_pixels=640 * 480 - 1)


@pytest.mark.parametrize("kind", ["progressive", "of three scans"])
def test_a_jpeg_whose_coefficients_are_kept_counts_in_full(kind: str) -> None:
    picture = quarters(640, 480)
    data = encoded(picture, "JPEG", progressive=True) if kind == "progressive" else one_scan_a_colour(picture)
    assert decoded(data, max_pixels=640 * 480, min_side=60).scale == 0.125
    with pytest.raises(PictureTooLarge, match="640 x 480"):
        decoded(data, max_pixels=640 * 480 - 1, min_side=60)


def test_a_jpeg_may_not_claim_more_than_four_times_the_limit() -> None:
    data = encoded(quarters(640, 480), "JPEG")
    assert decoded(data, max_pixels=640 * 480 // 4).scale == 0.5
    with pytest.raises(PictureTooLarge, match="640 x 480"):
        decoded(data, max_pixels=640 * 480 // 4 - 1)


def test_a_side_that_crops_cannot_address_is_decoded_smaller_or_refused() -> None:
    assert decoded(encoded(Image.new("L", (30_001, 2)), "JPEG")).pixels.shape == (1, 15_001, 3)
    for line, plugin in ((Image.new("L", (30_001, 2)), "PNG"), (Image.new("L", (30_001, 1)), "JPEG")):
        with pytest.raises(PictureTooLarge, match="30001 x"):
            decoded(encoded(line, plugin))


JPEGS: dict[str, dict[str, Any]] = {
    "colour": {},
    "full colour": {"subsampling": 0},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_rows": 1},
    "optimised": {"optimize": True},
}


def noisy(mode: str = "RGB") -> Image.Image:
    """Different in every pixel, so that every row has bytes of its own."""
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_only_its_end_mark_is_read(kind: str, mode: str) -> None:
    data = encoded(noisy(mode), "JPEG", **JPEGS[kind])
    assert data.endswith(b"\xff\xd9")
    assert np.array_equal(decoded(data[:-2]).pixels, decoded(data).pixels)
    assert np.array_equal(decoded(data[:-1]).pixels, decoded(data).pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.97])
def test_a_jpeg_that_lost_rows_is_corrupt(kind: str, mode: str, share: float) -> None:
    data = encoded(noisy(mode), "JPEG", **JPEGS[kind])
    cut = data[: int(len(data) * share)]
    with pytest.raises(CorruptPicture):
        decoded(cut)
    with pytest.raises(CorruptPicture):
        decoded(cut, min_side=60)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", [kind for kind in JPEGS if kind != "progressive"])
@pytest.mark.parametrize("share", [0.3, 0.8, 0.97])
def test_an_end_mark_does_not_hide_that_rows_are_lost(kind: str, mode: str, share: float) -> None:
    data = encoded(noisy(mode), "JPEG", **JPEGS[kind])
    with pytest.raises(CorruptPicture, match="missing"):
        decoded(data[: int(len(data) * share)] + b"\xff\xd9")


def test_damage_of_a_large_jpeg_is_refused_as_that_of_a_small_one() -> None:
    for side in (300, 500):
        noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
        data = bytearray(encoded(Image.fromarray(noise), "JPEG"))
        early, late = (int(len(data) * share) for share in (0.3, 0.8))
        data[early : early + 4], data[late : late + 2] = b"\xff\xe0\x00\x02", b"\xff\x3c"
        with pytest.raises(CorruptPicture):
            decoded(bytes(data))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("ending", [b"\xff\xd9", b"\xff", b"", b"\xff\xd9 and a camera's own trailer"])
def test_a_picture_that_ends_in_grey_is_whole(mode: str, ending: bytes) -> None:
    data = encoded(Image.new(mode, (160, 120), (128,) * len(mode) if mode == "RGB" else 128), "JPEG")
    assert decoded(data[:-2] + ending).pixels.min() == 128


def test_a_thumbnail_inside_a_jpeg_is_not_taken_for_its_scan() -> None:
    data = encoded(quarters(640, 480), "JPEG", exif=b"Exif\0\0" + encoded(noisy().resize((16, 12)), "JPEG"))
    assert decoded(data, max_pixels=640 * 480 // 4).scale == 0.5


@pytest.mark.parametrize("plugin", ["PNG", "WEBP", "AVIF", "HEIF"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_half_a_picture_is_corrupt(plugin: str, share: float) -> None:
    data = encoded(noisy(), plugin)
    with pytest.raises(CorruptPicture):
        decoded(data[: int(len(data) * share)])


SIGNATURES = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WEBP": b"RIFF\x20\0\0\0WEBP",
    "AVIF": b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf",
    "AVIF by its second brand": b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
}


@pytest.mark.parametrize("rest", [b"", b"\0", b"nothing that belongs here", bytes(200), b"\xff" * 200])
@pytest.mark.parametrize("kind", SIGNATURES)
def test_after_a_known_signature_a_picture_is_damaged_not_unknown(kind: str, rest: bytes) -> None:
    with pytest.raises(CorruptPicture):
        decoded(SIGNATURES[kind] + rest)


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF"])
def test_a_format_that_is_not_read_is_named(name: str) -> None:
    with pytest.raises(UnsupportedPicture, match=f"{name} files are not read; send JPEG, PNG, WebP or AVIF"):
        decoded(encoded(quarters(), name))


@pytest.mark.parametrize("data", [b"hello", b"\0\0\0\x18ftypmp42\0\0\0\0isom", b"<!doctype html>", bytes(100)])
def test_what_is_no_picture_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedPicture, match="send JPEG, PNG, WebP or AVIF"):
        decoded(data)


@pytest.mark.parametrize("data", [encoded(quarters(), "HEIF"), SIGNATURES["HEIC"]], ids=["whole", "cut off"])
def test_heic_without_its_extra_says_what_is_missing(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedPicture, match="needs the extra agelens"):
        decoded(data)


def one_scan_a_colour(picture: Image.Image) -> bytes:
    """Encode a baseline JPEG whose components come one after the other: Y, then Cb, then Cr."""
    planes = [encoded(plane, "JPEG", quality=95) for plane in picture.convert("YCbCr").split()]
    scans = [plane[plane.index(b"\xff\xda") + 10 : -2] for plane in planes]
    head = planes[0][: planes[0].index(b"\xff\xc0")]
    tables = planes[0][planes[0].index(b"\xff\xc4") : planes[0].index(b"\xff\xda")]
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, picture.height, picture.width, 3) + components
    marks = (b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, number, 0, 0, 63, 0) for number in (1, 2, 3))
    return head + frame + tables + b"".join(mark + scan for mark, scan in zip(marks, scans, strict=True)) + b"\xff\xd9"
