"""Decoding at reduced scales, and cutting faces the same way at every scale."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service.errors import PictureTooLarge
from service.inference.decoding.photo import decode_image
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid, crop_face, whole_picture
from service.inference.manifest import CropSpec

SPEC = CropSpec(size=64, margin=0.1)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def scene(width: int = 320, height: int = 240) -> Pixels:
    """Smooth and different in every pixel and channel, so that misplaced crops differ."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.stack([x * 255, y * 255, (x + y) * 127], axis=-1).astype(np.uint8)


def face(x: float, y: float, side: float, angle: float = 0.0) -> Face:
    box = BoundingBox(x - side / 2, y - side / 2, side, side)
    dx, dy = np.cos(angle) * side / 4, np.sin(angle) * side / 4
    eyes = ((x - dx, y - dy), (x + dx, y + dy))
    return Face(box, 0.9, (*eyes, (x, y), (x, y), (x, y), (x, y)))


def test_a_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data += struct.pack(">I", 10) + b"IDAT" + bytes(14)
    with pytest.raises(PictureTooLarge, match="pixels"):
        decode_image(data)


def test_a_large_jpeg_is_decoded_smaller_but_keeps_its_size() -> None:
    photo = decode_image(encoded(Image.fromarray(scene(1600, 1200)), "JPEG"), min_side=250)
    assert (photo.width, photo.height) == (1600, 1200)
    assert photo.pixels.shape == (300, 400, 3)
    assert photo.scale == 0.25


def test_a_reduced_decode_shows_the_same_picture() -> None:
    data = encoded(Image.fromarray(scene(800, 600)), "JPEG", quality=95)
    full, half = decode_image(data).pixels, decode_image(data, min_side=300).pixels
    means = full.reshape(300, 2, 400, 2, 3).mean(axis=(1, 3))
    assert half.shape == (300, 400, 3)
    assert np.abs(means - half).mean() < 2


def test_the_centre_of_a_bled_crop_is_the_crop() -> None:
    picture = scene()
    cut = face(150.3, 110.7, 90.1, angle=0.2)
    bled = crop_face(picture, cut, SPEC, bleed=12)
    assert bled.shape == (88, 88, 3)
    assert np.array_equal(bled[12:-12, 12:-12], crop_face(picture, cut, SPEC))


def test_a_crop_has_the_same_content_at_every_scale() -> None:
    large = scene(1280, 960)
    small = np.asarray(Image.fromarray(large).resize((320, 240), Image.Resampling.BOX))
    near = crop_face(large, face(600, 440, 360), SPEC).astype(float)
    far = crop_face(small, face(150, 110, 90), SPEC).astype(float)
    assert near.std() > 5
    assert np.abs(near - far).max() <= 3


def test_a_tilted_face_is_cut_upright() -> None:
    picture = scene()
    turned = np.ascontiguousarray(np.rot90(picture, -1))  # clockwise: (x, y) goes to (239 - y, x)
    upright = crop_face(picture, face(150, 110, 80), SPEC)
    again = crop_face(turned, face(240 - 110, 150, 80, angle=np.pi / 2), SPEC)
    assert np.abs(upright.astype(int) - again.astype(int)).max() <= 1


def test_beyond_the_border_is_black() -> None:
    crop = crop_face(np.full((100, 100, 3), 200, np.uint8), face(0, 50, 60), SPEC)
    assert crop[:, :25].max() == 0
    assert crop[:, 40:].min() == 200


def test_a_pyramid_gives_the_same_crop_as_the_picture() -> None:
    picture = scene(1280, 960)
    cut = face(640, 480, 500)
    assert np.array_equal(crop_face(Pyramid(picture), cut, SPEC), crop_face(picture, cut, SPEC))


def test_a_whole_picture_is_its_own_crop() -> None:
    photo = decode_image(encoded(Image.fromarray(scene(64, 64))))
    assert np.array_equal(crop_face(photo.pixels, whole_picture(photo, SPEC), SPEC), photo.pixels)


STRETCHED = SPEC.model_copy(update={"exposure": "stretched"})


def test_a_stretched_crop_does_not_depend_on_the_light() -> None:
    bright, cut = scene(), face(160, 120, 100)
    dark = (bright * 0.25).astype(np.uint8)
    assert crop_face(dark, cut, SPEC).max() < 64
    seen, again = (crop_face(picture, cut, STRETCHED).astype(int) for picture in (bright, dark))
    assert np.ptp(seen) == np.ptp(again) == 255
    assert np.abs(seen - again).max() <= 8


def test_a_stretched_crop_stays_black_beyond_the_border_which_does_not_count() -> None:
    grey = np.full((100, 100, 3), 100, np.uint8)
    grey[50:] = 140
    crop = crop_face(grey, face(0, 50, 60), STRETCHED)
    assert crop[:, :25].max() == 0
    assert set(np.unique(crop[:, 40:])) >= {0, 255}


def test_the_centre_of_a_bled_crop_is_stretched_as_the_crop_is() -> None:
    cut = face(150.3, 110.7, 90.1, angle=0.2)
    bled = crop_face(scene(), cut, STRETCHED, bleed=12)
    assert np.array_equal(bled[12:-12, 12:-12], crop_face(scene(), cut, STRETCHED))


def test_one_shade_cannot_be_stretched() -> None:
    crop = crop_face(np.full((100, 100, 3), 77, np.uint8), face(50, 50, 40), STRETCHED)
    assert set(np.unique(crop)) == {77}
