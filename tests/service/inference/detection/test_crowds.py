"""Many faces in one picture: what stands beside them is found, and the work is limited and said to be."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from service.inference.decoding.photo import Photo
from service.inference.detection.blazeface.network import BlazeFace
from service.inference.detection.crowd import Crowd
from service.inference.detection.detector import BlazeFaceDetector
from service.inference.detection.face_proposals import FaceProposals
from service.inference.detection.search_work import LEAST_WORK, MOST_WORK, search_work
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid
from service.inference.lockfile import default_models_dir
from tests.pictures import HEAD, astronaut

COLUMNS, ROWS, CELL = 8, 6, 125


@pytest.fixture(scope="module")
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector(default_models_dir())


def head(side: int) -> Pixels:
    return np.asarray(cv2.resize(astronaut()[HEAD], (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def page_with_faint_faces(faint: Pixels, ground: NDArray[np.uint8]) -> Pixels:
    """Lay out 48 pictures of a head, every sixth of them replaced by a grey and pale picture."""
    pale = (cv2.cvtColor(faint, cv2.COLOR_RGB2GRAY) * 0.3 + 0.7 * 128).astype(np.uint8)
    pale = np.repeat(pale[..., None], 3, axis=-1)
    page = np.repeat(cv2.resize(ground, (COLUMNS * CELL + 20, ROWS * CELL + 20))[..., None], 3, axis=-1)
    for number in range(COLUMNS * ROWS):
        shown = pale if number % 6 == 3 else head(100)
        side = len(shown)
        x, y = (20 + each * CELL + (100 - side) // 2 for each in (number % COLUMNS, number // COLUMNS))
        page[y : y + side, x : x + side] = shown
    return page


def covered(side: int, faces: int, turned: bool) -> Pixels:
    """Cover a picture of 1600 x 1200 with heads of `side` pixels, all upright or every second one upside down."""
    picture = np.full((1200, 1600, 3), 90, np.uint8)
    every = [(x, y) for y in range(0, 1200 - side, side) for x in range(0, 1600 - side, side)]
    for number, (x, y) in enumerate(every[:faces]):
        picture[y : y + side, x : x + side] = np.rot90(head(side), 2 * (number % 2)) if turned else head(side)
    return picture


@pytest.mark.parametrize("quarters", [0, 2])
def test_faint_faces_beside_many_clear_ones_are_found_whichever_way_up(
    detector: BlazeFaceDetector, quarters: int
) -> None:
    page = page_with_faint_faces(head(50), np.asarray(data.gravel()))
    assert len(detector.detect(Pyramid(np.ascontiguousarray(np.rot90(page, quarters)))).faces) == COLUMNS * ROWS


def test_heads_of_faint_figures_that_are_proposed_by_their_bodies_are_found(detector: BlazeFaceDetector) -> None:
    figure = np.asarray(cv2.resize(astronaut(), (100, 100), interpolation=cv2.INTER_AREA), np.uint8)
    page = page_with_faint_faces(figure, np.asarray(data.brick()))
    assert len(detector.detect(Pyramid(page)).faces) == COLUMNS * ROWS


def face(x: float, turn: float, width: float = 20.0) -> Face:
    eyes = [(x - 5 * np.cos(turn), -5 * np.sin(turn)), (x + 5 * np.cos(turn), 5 * np.sin(turn))]
    return Face(BoundingBox(x - width / 2, -width / 2, width, width), 0.9, (*eyes, (x, 0), (x, 0), (x, 0), (x, 0)))


def test_a_crowd_is_many_faces_that_are_turned_alike() -> None:
    across = np.pi - 0.1  # turns on both sides of half a circle are alike, and their mean is not nought
    alike = [face(50.0 * n, across if n % 2 else -across) for n in range(16)]
    crowd = Crowd.of(alike)
    assert crowd
    assert abs(crowd.turn) == pytest.approx(np.pi, abs=0.11)
    assert Crowd.of(alike[:15]) is None, "few"
    assert Crowd.of([face(50.0 * n, n % 2 * np.pi) for n in range(16)]) is None, "every second one on its head"


class CountingBlazeFace(BlazeFace):
    """BlazeFace that counts the windows it is shown."""

    shown = 0

    def find(self, views: Pixels) -> list[list[Face]]:
        type(self).shown += len(views)
        return super().find(views)


@pytest.fixture
def close_views(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the close views that are looked at, 128 pixels a side at most."""
    seen: list[int] = []
    answer: Callable[..., Any] = FaceProposals.answer

    def counted(self: FaceProposals, pixels: Pixels) -> NDArray[np.float32]:
        if max(pixels.shape[:2]) <= 128:
            seen.append(1)
        return np.asarray(answer(self, pixels), np.float32)

    monkeypatch.setattr(FaceProposals, "answer", counted)
    return seen


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("work", [MOST_WORK, 300.0, 0.0])
def test_a_picture_covered_with_faces_costs_no_more_than_the_work_it_may_be(
    close_views: list[int], work: float, turned: bool
) -> None:
    detector = BlazeFaceDetector(default_models_dir(), judge=CountingBlazeFace)
    CountingBlazeFace.shown = 0
    found = detector.detect(Pyramid(covered(40, 2000, turned)), work=work)
    most = max(work, LEAST_WORK)
    assert CountingBlazeFace.shown <= most
    assert len(close_views) <= 2 * 0.25 * most / 0.45, "two of each of the places that a quarter of the work pays for"
    assert found.capped
    assert len(found.faces) > 10, "what is searched is searched to the end"


def test_a_picture_is_said_to_be_capped_where_its_faces_are_more_work_than_it_may_be(
    detector: BlazeFaceDetector,
) -> None:
    picture = Pyramid(covered(100, 120, turned=False))
    enough, little = detector.detect(picture), detector.detect(picture, work=LEAST_WORK)
    assert len(enough.faces) == 120
    assert not enough.capped
    assert len(little.faces) < 120
    assert little.capped


def test_searching_may_cost_the_less_the_more_decoding_may() -> None:
    works = [search_work(Photo(np.zeros((9, 9, 3), np.uint8), 9, 9, priced_s)) for priced_s in (0.0, 0.5, 2.0, 60.0)]
    assert works[0] == MOST_WORK
    assert works[-1] == LEAST_WORK
    assert works == sorted(works, reverse=True)
    assert len(set(works[:3])) == 3
