"""BlazeFace at three scales: from a tight chip to a small face in a large scene, and nothing where nothing is."""

import math

import cv2
import numpy as np
import pytest
from skimage import data

from service.inference.detection.blazeface.network import BlazeFace
from service.inference.detection.detector import BlazeFaceDetector
from service.inference.faces import Face, Pixels
from service.inference.imaging import Pyramid, eye_angle
from service.inference.lockfile import default_models_dir
from tests.pictures import HEAD, astronaut, coffee, pasted


@pytest.fixture(scope="module")
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector(default_models_dir())


def test_a_portrait_gives_one_face_with_six_landmarks(detector: BlazeFaceDetector) -> None:
    (face,) = detector.detect(Pyramid(astronaut())).faces
    x, y = face.box.center
    assert 190 < x < 260
    assert 90 < y < 150
    assert face.confidence > 0.8
    right_eye, left_eye, nose, mouth, right_ear, left_ear = face.landmarks
    assert right_ear[0] < right_eye[0] < nose[0] < left_ear[0]
    assert right_eye[0] < left_eye[0]
    assert nose[1] < mouth[1]


@pytest.mark.parametrize("side", [40, 44, 48, 56, 64, 80, 100, 128, 160, 200, 256, 320, 400])
def test_a_face_is_found_from_40_pixels_up(detector: BlazeFaceDetector, side: int) -> None:
    rng = np.random.default_rng(side)
    x, y = int(rng.integers(0, 601 - side)), int(rng.integers(0, 401 - side))
    (face,) = detector.detect(Pyramid(pasted(side, x, y))).faces
    assert abs(face.box.center[0] - (x + side / 2)) < side / 4
    assert 0.35 < face.box.width / side < 0.7


def test_faces_of_very_different_sizes_are_found_together(detector: BlazeFaceDetector) -> None:
    scene = pasted(240, 20, 30)
    for side, x, y in ((48, 300, 20), (64, 400, 60), (100, 480, 250)):
        scene = pasted(side, x, y, scene)
    widths = [face.box.width for face in detector.detect(Pyramid(scene)).faces]
    assert len(widths) == 4
    assert widths == sorted(widths, reverse=True)


def test_small_faces_need_not_be_searched(detector: BlazeFaceDetector) -> None:
    assert detector.detect(Pyramid(pasted(48, 300, 200))).faces
    assert not detector.detect(Pyramid(pasted(48, 300, 200)), min_size=100).faces


def test_a_face_cut_tightly_is_found(detector: BlazeFaceDetector) -> None:
    (face,) = detector.detect(Pyramid(np.ascontiguousarray(astronaut()[70:184, 168:282]))).faces
    assert face.box.width > 80


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_head_is_measured_upright(detector: BlazeFaceDetector, quarters: int) -> None:
    (upright,) = detector.detect(Pyramid(astronaut())).faces
    (turned,) = detector.detect(Pyramid(np.ascontiguousarray(np.rot90(astronaut(), quarters)))).faces
    turn = np.degrees(eye_angle(upright) - eye_angle(turned))
    assert abs(math.remainder(turn - 90 * quarters, 360)) < 5
    assert turned.box.width == pytest.approx(upright.box.width, rel=0.04)


@pytest.mark.parametrize("side", ["left", "right", "top"])
def test_a_face_of_which_the_border_cuts_off_a_third_is_found(detector: BlazeFaceDetector, side: str) -> None:
    (whole,) = detector.detect(Pyramid(astronaut())).faces
    x, y, width = round(whole.box.x), round(whole.box.y), round(whole.box.width)
    third = width // 3
    left, right, top = (third + x if side == "left" else 0), (x + width - third if side == "right" else 512), 0
    top = y + third if side == "top" else 0
    cut = np.ascontiguousarray(astronaut()[top:, left:right])
    (face,) = detector.detect(Pyramid(cut)).faces
    assert math.dist(face.box.center, (whole.box.center[0] - left, whole.box.center[1] - top)) < 0.2 * width


def test_a_long_page_is_searched_all_along(detector: BlazeFaceDetector) -> None:
    page = np.full((9000, 600, 3), 230, np.uint8)
    places = [(100, 200), (300, 4400), (50, 8700)]
    for x, y in places:
        page[y : y + 200, x : x + 200] = astronaut()[HEAD]
    found = detector.detect(Pyramid(page))
    assert not found.capped
    assert sorted(round(face.box.center[1] / 100) for face in found.faces) == [
        round((y + 100) / 100) for _, y in places
    ]


def test_a_picture_with_more_to_see_than_views_allow_says_so() -> None:
    detector = BlazeFaceDetector(default_models_dir(), max_views=3)
    page = np.full((9000, 600, 3), 230, np.uint8)
    assert detector.detect(Pyramid(page)).capped
    assert not detector.detect(Pyramid(page[:500])).capped


def test_smaller_faces_are_found_where_they_are_asked_for(detector: BlazeFaceDetector) -> None:
    scene = np.full((2400, 3200, 3), 128, np.uint8)
    scene[1500:1528, 2000:2028] = cv2.resize(astronaut()[HEAD], (28, 28), interpolation=cv2.INTER_AREA)
    (face,) = detector.detect(Pyramid(scene), min_size=12).faces
    assert math.dist(face.box.center, (2014, 1514)) < 8


def test_loose_and_tight_framing_give_the_same_scale(detector: BlazeFaceDetector) -> None:
    loose = detector.detect(Pyramid(astronaut())).faces[0].box
    center_x, center_y = loose.center
    ratios = []
    for share in (1.1, 1.2, 1.4, 1.7, 2.0):
        half = loose.width * share / 2
        top, bottom, left, right = (
            round(v) for v in (center_y - half, center_y + half, center_x - half, center_x + half)
        )
        chip = np.ascontiguousarray(astronaut()[top:bottom, left:right])
        ratios.append(detector.detect(Pyramid(chip)).faces[0].box.width / loose.width)
    assert abs(np.median(ratios) - 1) < 0.03


def faceless() -> list[Pixels]:
    names = ("coffee", "rocket", "brick", "grass", "gravel", "coins", "moon", "page", "text", "hubble_deep_field")
    pictures = [np.asarray(getattr(data, name)()) for name in names]
    return [picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1) for picture in pictures]


def test_pictures_without_a_face_give_none(detector: BlazeFaceDetector) -> None:
    rng = np.random.default_rng(0)
    for picture in faceless():
        height, width = picture.shape[:2]
        top, left = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
        assert detector.detect(Pyramid(picture)).faces == ()
        assert detector.detect(Pyramid(np.ascontiguousarray(picture[top:, left:]))).faces == ()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (20, 20)])
def test_degenerate_pictures_give_no_face(detector: BlazeFaceDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(Pyramid(np.full((*shape, 3), 128, np.uint8))).faces == ()


def test_the_same_picture_gives_the_same_faces(detector: BlazeFaceDetector) -> None:
    first = detector.detect(Pyramid(astronaut())).faces
    detector.detect(Pyramid(coffee()))
    assert detector.detect(Pyramid(astronaut())).faces == first


def test_the_head_alone_is_the_same_face(detector: BlazeFaceDetector) -> None:
    whole = detector.detect(Pyramid(astronaut())).faces[0].box
    head = detector.detect(Pyramid(np.ascontiguousarray(astronaut()[HEAD]))).faces[0].box
    assert abs(head.width / whole.width - 1) < 0.04


def faded_sheet() -> tuple[Pixels, int]:
    """Lay the astronaut's head out as on a faded page of a yearbook; return the page and the number of faces."""
    head = cv2.cvtColor(np.ascontiguousarray(astronaut()[HEAD]), cv2.COLOR_RGB2GRAY)
    head = cv2.GaussianBlur(cv2.resize(head, (100, 100), interpolation=cv2.INTER_AREA), (0, 0), 1)
    faded = (head * 0.4 + 107).astype(np.uint8)
    page = np.repeat(cv2.resize(np.asarray(data.brick()), (1400, 1000))[..., None], 3, axis=-1)
    places = [(x, y) for y in range(10, 900, 125) for x in range(10, 1300, 125)]
    for x, y in places:
        page[y : y + 100, x : x + 100] = faded[..., None]
    return page, len(places)


def test_faint_faces_side_by_side_are_all_found(detector: BlazeFaceDetector) -> None:
    page, count = faded_sheet()
    assert len(detector.detect(Pyramid(page)).faces) == count


class CountingBlazeFace(BlazeFace):
    """BlazeFace that counts the windows it is shown."""

    shown = 0

    def find(self, views: Pixels) -> list[list[Face]]:
        type(self).shown += len(views)
        return super().find(views)


def test_few_windows_are_judged_where_most_that_is_proposed_is_no_face() -> None:
    detector = BlazeFaceDetector(default_models_dir(), judge=CountingBlazeFace)
    scene = cv2.resize(coffee(), (1500, 1000), interpolation=cv2.INTER_CUBIC)
    scene[300:700, 200:600] = cv2.resize(astronaut()[HEAD], (400, 400), interpolation=cv2.INTER_CUBIC)
    CountingBlazeFace.shown = 0
    assert len(detector.detect(Pyramid(scene)).faces) == 1
    assert 2 <= CountingBlazeFace.shown <= 12, "two for the face, the others for what might be one"
