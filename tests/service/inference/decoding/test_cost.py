"""What a picture is priced at, and what of it reaches a decoder."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.soak import adversarial, adversarial_boxes, adversarial_jpeg
from service.errors import CorruptPicture, PictureError, PictureTooLarge, UnsupportedPicture
from service.inference.decoding import cost
from service.inference.decoding.cost import PricedPicture
from service.inference.decoding.cost import price as price_of
from service.inference.decoding.cost.bits import Bits
from service.inference.decoding.cost.bmff import Item, read_items, uses
from service.inference.decoding.cost.orientation import exif_with, orientation_of
from service.inference.decoding.cost.priced import PartCount
from service.inference.decoding.decoder import DirectDecoder
from service.inference.decoding.formats import PNG
from service.inference.decoding.photo import decode_image
from tests.pictures import astronaut


def price(data: bytes) -> PricedPicture:
    return price_of(data, 50_000_000)


def encoded(fmt: str, image: Image.Image | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(astronaut())).save(stream, fmt, **options)
    return stream.getvalue()


EVERY_KIND = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "subsampling": 0}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("AVIF", {"speed": 10}),
]


@pytest.mark.parametrize(("fmt", "options"), EVERY_KIND)
def test_stripped_picture_has_the_same_pixels(fmt: str, options: dict[str, Any]) -> None:
    data = encoded(fmt, **options)
    assert np.array_equal(decode_image(price(data).data).pixels, decode_image(data).pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_stripped_png_of_every_mode_has_the_same_pixels(mode: str) -> None:
    image = Image.fromarray(astronaut())
    image = (
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        if mode == "I;16"
        else image.convert(mode)
    )
    if mode == "P":
        image.info["transparency"] = 3
    data = encoded("PNG", image)
    assert np.array_equal(decode_image(price(data).data).pixels, decode_image(data).pixels)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_stripping_keeps_which_way_is_up(fmt: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(fmt, Image.fromarray(astronaut()[:, :300]), exif=exif)
    stripped = decode_image(price(data).data).pixels
    assert np.array_equal(stripped, decode_image(data).pixels)
    assert stripped.shape == ((300, 512, 3) if orientation > 4 else (512, 300, 3))


@pytest.mark.parametrize(
    "said",
    [
        b'<x tiff:Orientation="6"/>',
        b"<x tiff:Orientation='6'/>",
        b'<x tiff:Orientation = "6"/>',
        b"<x tiff:Orientation\n=\n' 6 '/>",
        b"<tiff:Orientation>6</tiff:Orientation>",
        b"<tiff:Orientation >\n6</tiff:Orientation>",
    ],
)
def test_stripping_keeps_which_way_is_up_where_only_xmp_says_it(said: bytes) -> None:
    xmp = b"<x:xmpmeta>" + said + b"</x:xmpmeta>"
    for fmt in ("JPEG", "WEBP"):
        data = encoded(fmt, Image.fromarray(astronaut()[:, :300]), xmp=xmp)
        assert decode_image(price(data).data).pixels.shape == (300, 512, 3), fmt


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_nothing_but_pixels_and_orientation_is_left(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "a maker's name"
    data = encoded(kind, exif=exif, icc_profile=b"a profile" * 20)
    assert b"a maker's name" in data
    with Image.open(io.BytesIO(price(data).data)) as image:
        assert dict(image.getexif()) == {0x0112: 3}
        assert kind == "AVIF" or b"a profile" not in price(data).data


_CODED = b"\xff\x00\x12\xff\xd3\x34" * 40_000
_COMMENT = b"\xff\xfe\x00\x09comment"


def with_part_in_the_scan(at: int, part: bytes) -> bytes:
    """Return a JPEG with a segment after `at` bytes of entropy-coded data, and more of that behind it."""
    whole = adversarial_jpeg.dense_baseline(0.01)
    start = whole.index(b"\xff\xda") + 10
    before = _CODED[:at]
    if before.endswith(b"\xff"):  # half a marker
        before = before[:-1] + b"\x12"
    return whole[:start] + before + part + _CODED + b"\xff\xd9"


@pytest.mark.parametrize("at", [*range(4093, 4099), *range(12_285, 12_291), 61_439, 126_976, 199_996])
def test_marker_is_found_wherever_it_lies_in_entropy_coded_data(at: int) -> None:
    data = with_part_in_the_scan(at, _COMMENT)
    assert _COMMENT not in price(data).data
    assert len(price(data).data) == data.index(_COMMENT) + 2


def test_what_a_table_between_scans_holds_is_no_marker() -> None:
    inside = bytes(20_000) + _COMMENT
    table = b"\xff\xc4" + struct.pack(">H", 2 + len(inside)) + inside
    assert _COMMENT in price(with_part_in_the_scan(5_000, table)).data


def test_scans_of_a_jpeg_are_not_copied() -> None:
    data = encoded("JPEG", exif=exif_with(6))
    scans = price(data).pieces[-1]
    assert isinstance(scans, memoryview)
    assert scans.obj is data
    assert len(scans) > 0.9 * len(data)


def test_first_frame_of_an_animation_is_all_that_is_left() -> None:
    frames = [Image.fromarray(np.full((40, 60, 3), value, np.uint8)) for value in (50, 200, 90)]
    for fmt in ("WEBP", "PNG"):
        data = encoded(fmt, frames[0], save_all=True, append_images=frames[1:], lossless=True)
        with Image.open(io.BytesIO(price(data).data)) as image:
            assert getattr(image, "n_frames", 1) == 1
        assert decode_image(price(data).data).pixels.mean() == 50


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_in_both_byte_orders(order: str) -> None:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHIHH", 0x010F, 2, 4, 0, 0) + struct.pack(order + "HHIHH", 0x0112, 3, 1, 8, 0)
    assert orientation_of(magic + struct.pack(order + "IH", 8, 2) + entries) == 8


@pytest.mark.parametrize(("kind", "value"), [(1, b"\6\0\0\0"), (3, b"\0\6\0\0"), (4, b"\0\0\0\6")])
def test_orientation_is_read_as_any_whole_number(kind: int, value: bytes) -> None:
    assert orientation_of(b"MM\0*" + struct.pack(">IHHHI4s", 8, 1, 0x0112, kind, 1, value)) == 6


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"MM\0*" + b"\xff" * 40, exif_with(0), exif_with(9), b"GIF8" + bytes(90)]
)
def test_damaged_exif_says_nothing(exif: bytes) -> None:
    assert orientation_of(exif) is None


MORE_WORK: dict[str, tuple[Callable[[], bytes], Callable[[], bytes]]] = {
    "scans of a progressive JPEG": (
        lambda: adversarial_jpeg.progressive_empty_scans(10, 2000),
        lambda: adversarial_jpeg.progressive_empty_scans(60, 2000),
    ),
    "scans of a sequential JPEG": (
        lambda: adversarial_jpeg.sequential_scans(10, 2000),
        lambda: adversarial_jpeg.sequential_scans(60, 2000),
    ),
    "rows of a PNG": (lambda: adversarial.flat_png(200), lambda: adversarial.flat_png(800)),
    "passes of a PNG": (lambda: adversarial.flat_png(400), lambda: adversarial.flat_png(400, interlace=1)),
    "bytes of a PNG": (lambda: adversarial.deflate_tables(0.1), lambda: adversarial.deflate_tables(0.4)),
    "canvas of a WebP": (
        lambda: adversarial.webp_frames(1, 100, 200),
        lambda: adversarial.webp_frames(1, 100, 2000),
    ),
    "pixels of an AVIF": (
        lambda: adversarial_jpeg.noise(64, 64, "AVIF", speed=10),
        lambda: adversarial_jpeg.noise(256, 256, "AVIF", speed=10),
    ),
}


@pytest.mark.parametrize("name", MORE_WORK)
def test_more_work_costs_more(name: str) -> None:
    little, much = (price(make()) for make in MORE_WORK[name])
    assert much.processor_s > 1.1 * little.processor_s


@pytest.mark.parametrize(
    "make",
    [
        lambda: adversarial_jpeg.progressive_empty_scans(100),
        lambda: adversarial_jpeg.progressive_runs(40),
        lambda: adversarial_jpeg.jpeg_tables(19),
    ],
    ids=["empty scans", "runs", "tables"],
)
def test_row_1a_small_jpeg_that_takes_seconds_is_over_the_budget(make: Callable[[], bytes]) -> None:
    assert price(make()).processor_s > 1.5


@pytest.mark.parametrize(
    "make",
    [
        adversarial.png_private_chunks,
        adversarial.png_empty_data,
        lambda: adversarial_jpeg.jpeg_segments(200_000),
        adversarial.webp_chunks,
        lambda: adversarial_boxes.empty_extents(1),
        lambda: adversarial_boxes.entries_without_links(10_000),
        lambda: adversarial_boxes.many_properties(2),
        lambda: adversarial_boxes.avif_many_units(11),
        lambda: adversarial_boxes.heic_shared_configuration(1, 20),
        lambda: adversarial_boxes.heic_parameter_sets(477),
        lambda: adversarial_boxes.avif_operating_points(477),
    ],
    ids=[
        "private chunks",
        "empty data",
        "segments",
        "webp chunks",
        "extents without bytes",
        "entries without links",
        "properties",
        "units of all items together",
        "parameter sets",
        "sequence parameter sets",
        "sequence headers",
    ],
)
def test_row_1d_picture_of_a_hundred_thousand_parts_is_refused_unread(make: Callable[[], bytes]) -> None:
    with pytest.raises(PictureTooLarge, match="more than 10,000"):
        price(make())


@pytest.mark.parametrize(
    "make",
    [
        lambda: adversarial.png_private_chunks(9000),
        lambda: adversarial.png_texts(10),
        adversarial.png_exif,
        lambda: adversarial.png_animation(4000),
        adversarial_jpeg.jpeg_exif,
        adversarial_jpeg.jpeg_fill,
        lambda: adversarial_jpeg.jpeg_fill(byte=b"\xff\0"),
        adversarial.webp_exif,
        lambda: adversarial.webp_frames(3000, 64, 64),
    ],
)
def test_what_makes_no_pixels_reaches_no_decoder(make: Callable[[], bytes]) -> None:
    data = make()
    priced = price(data)
    assert len(priced.data) < 50_000 < len(data)
    assert decode_image(priced.data).pixels.shape[2] == 3


def test_configuration_that_many_items_share_is_read_once() -> None:
    data = adversarial_boxes.heic_shared_configuration(1000, 4)  # 2,000 parameter sets
    assert price(data).format == "HEIC"


@pytest.mark.parametrize("zeros", [0, 1, 2, 31, 32])
def test_codes_of_h265_are_numbers_up_to_their_largest(zeros: int) -> None:
    least, most = ("0" * zeros + "1" + digit * zeros for digit in "01")
    bits = Bits(int((least + most).ljust(256, "0"), 2).to_bytes(32, "big"))
    assert bits.exponential_golomb() == 2**zeros - 1
    assert bits.exponential_golomb() == 2 ** (zeros + 1) - 2
    assert bits.take(8) == 0


@pytest.mark.parametrize("zeros", [33, 1100, 3900])
def test_heic_with_a_number_beyond_the_largest_is_damaged(zeros: int) -> None:
    with pytest.raises(CorruptPicture, match="header of the picture is damaged"):
        price(adversarial_boxes.heic_parameter_sets(1, zeros))


def test_what_pricing_cannot_cope_with_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> PricedPicture:
        raise OverflowError

    monkeypatch.setitem(cost._OTHERS, PNG, fail)
    with pytest.raises(CorruptPicture, match="structure of the PNG is damaged"):
        price(encoded("PNG"))


def test_grid_of_one_tile_again_and_again_is_priced_as_the_picture_that_it_becomes() -> None:
    small = adversarial_boxes.heic_repeated_tile(16, 16)
    whole = encoded("HEIF", Image.new("RGB", (1024, 1024)))
    assert decode_image(price(small).data).pixels.shape == (1024, 1024, 3)
    assert 0.9 < price(small).processor_s / price(whole).processor_s < 3


def test_only_tiles_are_counted_as_often_as_they_are_used() -> None:
    data = bytearray(adversarial_boxes.heic_repeated_tile(4, 3))
    primary, items = read_items(data, PartCount("HEIC"))
    items[3] = Item(kind=b"hvc1", size=(2016, 1512))  # as the gain map in a telephone's picture
    assert (primary, uses(items)) == (2, {1: 12})
    items[4] = Item(kind=b"tmap", tiles=[2, 3])  # derived from the grid, and not decoded
    assert uses(items) == {1: 12}


def test_tiles_made_of_tiles_are_not_read() -> None:
    items = {1: Item(kind=b"hvc1"), 2: Item(kind=b"grid", tiles=[1] * 64), 3: Item(kind=b"grid", tiles=[2] * 64)}
    with pytest.raises(UnsupportedPicture, match="tiles are made of tiles"):
        uses(items)


def test_heic_whose_configuration_ends_before_its_parameter_sets_is_no_failure() -> None:
    data = adversarial_jpeg.noise(64, 64, "HEIF")
    at = data.index(b"hvcC") - 4
    (size,) = struct.unpack_from(">I", data, at)
    cut = adversarial_boxes.box(b"hvcC", data[at + 8 : at + 8 + 23])
    rest = adversarial_boxes.box(b"free", bytes(size - len(cut) - 8))
    assert price(data[:at] + cut + rest + data[at + size :]).pixels == 64 * 64


@pytest.mark.parametrize("palette", ["none", "two bytes", "behind the pixels"])
def test_png_of_palette_colours_without_a_palette_is_damaged(palette: str) -> None:
    data = encoded("PNG", Image.fromarray(astronaut()[:64, :64]).quantize(16))
    at = data.index(b"PLTE") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    between = adversarial.png_chunk(b"PLTE", b"\0\0") if palette == "two bytes" else b""
    behind = data[at:end] if palette == "behind the pixels" else b""
    with pytest.raises(CorruptPicture, match="no palette"):
        price(data[:at] + between + data[end:-12] + behind + data[-12:])


def with_texts(*orientations: int) -> bytes:
    data = encoded("PNG", Image.new("RGB", (32, 16)))
    packets = (b'<x tiff:Orientation="%d"/>' % orientation for orientation in orientations)
    texts = (adversarial.png_chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + packet) for packet in packets)
    return data[:33] + b"".join(texts) + data[33:]


def test_orientation_is_looked_for_in_the_first_four_texts_of_a_png_only() -> None:
    assert decode_image(price(with_texts(0, 0, 0, 6)).data).width == 16
    assert decode_image(price(with_texts(0, 0, 0, 0, 6)).data).width == 32


def test_first_exif_of_a_png_is_all_that_is_read() -> None:
    data = encoded("PNG", Image.new("RGB", (32, 16)))
    second = b"".join(adversarial.png_chunk(b"eXIf", exif_with(orientation)) for orientation in (0, 6))
    assert decode_image(price(data[:33] + second + data[33:]).data).width == 32


def test_orientation_is_read_from_the_lines_that_imagemagick_writes() -> None:
    data = encoded("PNG", Image.new("RGB", (32, 16)))
    digits = (b"Exif\0\0" + exif_with(6)).hex().encode()
    lines = b"\n".join(digits[at : at + 16] for at in range(0, len(digits), 16))
    text = adversarial.png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n      32\n" + lines + b"\n")
    assert decode_image(price(data[:33] + text + data[33:]).data).width == 16


@pytest.mark.parametrize("kind", [0xC3, 0xC9, 0xCA, 0xC5])
def test_jpeg_that_no_browser_reads_is_not_read(kind: int) -> None:
    data = adversarial_jpeg.dense_baseline(0.01).replace(b"\xff\xc0", bytes([0xFF, kind]), 1)
    with pytest.raises(UnsupportedPicture, match="baseline or progressive"):
        price(data)


def test_jpeg_with_two_frame_headers_is_damaged() -> None:
    data = adversarial_jpeg.dense_baseline(0.01)
    start = data.index(b"\xff\xc0")
    header = data[start : start + 13]
    with pytest.raises(CorruptPicture, match="two frame headers"):
        price(data.replace(header, header * 2, 1))


def test_jpeg_of_one_scan_is_priced_at_the_scale_it_is_decoded_at() -> None:
    data = adversarial_jpeg.sampled((0x11,), 4000, progressive=False)
    assert price_of(data, 4_000_000).processor_s < 0.6 * price_of(data, 16_000_000).processor_s


def test_jpeg_whose_scans_take_long_at_any_scale_is_decoded_once_at_its_full_size() -> None:
    dear, cheap = (adversarial_jpeg.progressive_empty_scans(scans, 2000) for scans in (100, 5))
    assert not price(adversarial_jpeg.dense_baseline(10.0)).at_once, "one scan is decoded at a reduced scale sooner"
    scales = []
    for data in (dear, cheap):
        with DirectDecoder().open(data, 10**8, lambda: None) as decode:
            scales.append(decode(100).scale)
    assert scales == [1.0, 0.125]


def test_avif_of_several_frames_is_not_read() -> None:
    data = adversarial_boxes.avif_of_several_frames()
    with pytest.raises(UnsupportedPicture, match="several frames"):
        price(data)


def test_items_that_share_their_bytes_are_refused() -> None:
    with pytest.raises(PictureTooLarge, match="share their bytes"):
        price(adversarial_boxes.avif_shared_items())


@pytest.mark.parametrize(("fmt", "options"), EVERY_KIND)
def test_damage_is_refused_or_priced_but_never_a_failure(fmt: str, options: dict[str, Any]) -> None:
    data = encoded(fmt, Image.fromarray(astronaut()[:64, :64]), exif=exif_with(6), **options)
    draw = np.random.default_rng(3)
    priced = 0
    for _ in range(600):
        broken = bytearray(data)
        for place in draw.integers(min(len(data), 400), size=3):
            broken[place] = draw.integers(256)
        del broken[int(draw.integers(len(data) // 2, 2 * len(data))) :]
        try:
            price(bytes(broken))
            priced += 1
        except PictureError:
            pass
    assert 0 < priced < 600
