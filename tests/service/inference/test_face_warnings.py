"""Warnings: the same face, worn in known ways."""

import math

import cv2
import numpy as np
import pytest

from service.inference.distribution import AgeDistribution
from service.inference.face_warnings import warnings_for, warnings_of_light
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import cut_face
from service.inference.manifest import CropSpec
from tests.pictures import astronaut

SPEC = CropSpec(size=160, margin=0.04)
STRETCHED = CropSpec(size=160, margin=0.04, exposure="stretched")
WIDTH_PX = 100
FACE = Face(BoundingBox(173, 63, WIDTH_PX, WIDTH_PX), 0.9, ())


def cut(picture: Pixels) -> Pixels:
    return cut_face(picture, FACE, SPEC)


def lighter(factor: float) -> Pixels:
    return np.asarray(np.clip(astronaut().astype(float) * factor, 0, 255), np.uint8)


def flatter(factor: float) -> Pixels:
    return np.asarray(128 + (astronaut().astype(float) - 128) * factor, np.uint8)


def blurred(share: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(astronaut(), (0, 0), share * WIDTH_PX), np.uint8)


@pytest.mark.parametrize("spec", [SPEC, STRETCHED])
def test_a_good_face_has_no_warning_of_light(spec: CropSpec) -> None:
    assert warnings_of_light(cut(astronaut()), spec) == ()


@pytest.mark.parametrize("picture", [lighter(0.25), flatter(0.2), lighter(4)], ids=["dark", "flat", "burnt"])
def test_bad_light_is_warned_of(picture: Pixels) -> None:
    assert "exposure" in warnings_of_light(cut(picture), SPEC)


def test_what_a_stretch_mends_is_not_warned_of() -> None:
    assert warnings_of_light(cut(lighter(0.25)), STRETCHED) == ()
    assert "exposure" in warnings_of_light(cut(lighter(0.03)), STRETCHED)
    assert "exposure" in warnings_of_light(cut(lighter(4)), STRETCHED)


@pytest.mark.parametrize(("share", "warnings"), [(0.2, ()), (0.3, ("exposure",))])
def test_a_face_is_burnt_out_where_more_than_a_quarter_of_its_middle_is(share: float, warnings: tuple[str]) -> None:
    face = np.random.default_rng(0).integers(60, 200, (SPEC.size, SPEC.size, 3), np.uint8)
    middle_px = 0.49 * SPEC.size / (1 + 2 * SPEC.margin)
    top = round((SPEC.size - middle_px) / 2)
    face[top : top + round(share * middle_px)] = 255
    assert warnings_of_light(face, SPEC) == warnings


@pytest.mark.parametrize("share", [0.04, 0.06])
def test_a_face_blurred_by_4_percent_of_its_width_is_warned_of(share: float) -> None:
    assert "blurred" in warnings_of_light(cut(blurred(share)), SPEC)


@pytest.mark.parametrize("scale", [0.6, 0.8])
def test_a_small_face_is_not_blurred(scale: float) -> None:
    small = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    assert warnings_of_light(cut_face(np.asarray(small, np.uint8), FACE.scaled(scale), SPEC), SPEC) == ()


@pytest.mark.parametrize("shade", [19, 38, 128])
def test_a_face_of_one_shade_has_no_sharpness(shade: int) -> None:
    assert warnings_of_light(np.full((160, 160, 3), shade, np.uint8), SPEC) == ("exposure",)


def test_a_crop_too_small_to_show_detail_is_not_called_blurred() -> None:
    tiny = CropSpec(size=32, margin=0.04)
    assert warnings_of_light(cut_face(astronaut(), FACE, tiny), tiny) == ()


def drawn() -> Pixels:
    """A face in flat colours where the astronaut's is."""
    picture = np.full((512, 512, 3), (120, 160, 220), np.uint8)
    cv2.ellipse(picture, (223, 113), (40, 52), 0, 0, 360, (225, 172, 140), -1, cv2.LINE_AA)
    for x in (206, 240):
        cv2.circle(picture, (x, 100), 7, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, (x, 100), 3, (40, 30, 20), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (223, 136), (14, 5), 0, 0, 360, (190, 70, 80), -1, cv2.LINE_AA)
    return picture


def test_a_drawn_face_has_few_shades() -> None:
    assert warnings_of_light(cut(drawn()), SPEC) == ("few_shades",)


def test_a_face_burnt_out_is_no_drawing() -> None:
    assert warnings_of_light(cut(lighter(40)), SPEC) == ("exposure",)


def face_of(width: float, *, turned: float = 0.0, angle: float = 0.0) -> Face:
    """A face whose eyes are 40 times `width` pixels apart, 40 over the mouth; `turned` moves the nose to an ear."""
    points = np.array([(-20, 0), (20, 0), (turned * 38, 20), (0, 40), (-40, 5), (40, 5)]) * (width, 1)
    turn = np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
    return Face(BoundingBox(100, 100, 100, 100), 0.9, tuple((x, y) for x, y in points @ turn.T + 150))


def warnings_about(face: Face, excluded: float = 0.0) -> tuple[str, ...]:
    return warnings_for(face, 400, 400, AgeDistribution.of(np.full(101, 1 / 101)), (20, 30), excluded)


@pytest.mark.parametrize(("width", "warnings"), [(0.95, ()), (0.87, ()), (0.85, ("squeezed",)), (0.7, ("squeezed",))])
@pytest.mark.parametrize("angle", [0, 0.5, math.pi / 2, math.pi])
def test_a_face_too_narrow_is_said_to_be_squeezed_however_it_is_turned(
    width: float, angle: float, warnings: tuple[str, ...]
) -> None:
    assert warnings_about(face_of(width, angle=angle)) == warnings


def test_a_face_seen_from_the_side_is_narrow_by_itself() -> None:
    assert warnings_about(face_of(0.7, turned=0.9)) == ("turned_away",)


def test_a_face_that_was_cut_out_already_is_not_judged_by_landmarks() -> None:
    assert warnings_about(FACE) == ()


@pytest.mark.parametrize(("excluded", "warnings"), [(0.94, ()), (0.96, ("outside_prior",))])
def test_somebody_the_prior_excludes_is_warned_of(excluded: float, warnings: tuple[str, ...]) -> None:
    assert warnings_about(face_of(0.95), excluded) == warnings
