"""Views show every face whole, large enough, and are no more than allowed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.inference.detection.views import LONGEST, MAX_VIEWS, View, close_view, smallest_sought, views
from service.inference.faces import BoundingBox
from service.inference.imaging import Pyramid
from service.inference.options import LEAST_FACE

SIZES = [(200, 200), (640, 480), (1600, 1200), (3105, 2415), (1080, 16000), (12000, 1600)]


def shows(view: View, x: float, y: float, width: float) -> bool:
    """Whether a view shows a face of this width at this place, whole and large enough."""
    inside = view.left <= x - width / 2 and x + width / 2 <= view.left + view.width
    inside = inside and view.top <= y - width / 2 and y + width / 2 <= view.top + view.height
    return inside and width / view.step >= LEAST_FACE * 0.99 and width / view.step <= LONGEST


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("times", [1, 1.5, 2, 3, 5, 8, 13, 21])
def test_every_face_that_is_sought_is_shown_whole_by_some_view(size: tuple[int, int], times: float) -> None:
    width, height = size
    face = smallest_sought(*size) * times
    planned, capped = views(width, height, smallest_sought(*size))
    assert not capped
    if face > min(size):
        return
    rng = np.random.default_rng(int(face))
    for x, y in rng.uniform((face / 2, face / 2), (width - face / 2, height - face / 2), (200, 2)):
        assert any(shows(view, x, y, face) for view in planned), (x, y)


@pytest.mark.parametrize(("size", "count"), [((200, 200), 1), ((640, 480), 1), ((480, 640), 1), ((1600, 1200), 5)])
def test_small_pictures_are_one_view_and_larger_ones_get_a_closer_look(size: tuple[int, int], count: int) -> None:
    assert len(views(*size, smallest_sought(*size))[0]) == count


def test_larger_faces_take_fewer_views() -> None:
    counts = [len(views(3105, 2415, smallest)[0]) for smallest in (16, 24, 40, 80)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 4 * counts[-1]


@pytest.mark.parametrize("size", [(8160, 6144), (1080, 16000), (30000, 30000), (30000, 1)])
def test_a_cap_is_kept_and_said(size: tuple[int, int]) -> None:
    planned, capped = views(*size, 12, most=20)
    assert capped
    assert 0 < len(planned) <= 20
    assert max(view.left + view.width for view in planned) == pytest.approx(size[0])
    assert max(view.top + view.height for view in planned) == pytest.approx(size[1])


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.floats(0, 400))
def test_views_cover_any_picture_and_lie_inside(width: int, height: int, smallest: float) -> None:
    planned, _ = views(width, height, smallest)
    assert 1 <= len(planned) <= MAX_VIEWS
    assert min(view.left for view in planned) == min(view.top for view in planned) == 0
    for view in planned:
        assert view.step >= 1
        assert view.left + view.width <= width * (1 + 1e-9)
        assert view.top + view.height <= height * (1 + 1e-9)
        assert math.ceil(max(view.width, view.height) / view.step) <= LONGEST + 16


@pytest.mark.parametrize("size", [(640, 480), (4000, 3000), (3, 500), (1, 1), (5000, 40)])
def test_what_the_network_is_shown_fits_it(size: tuple[int, int]) -> None:
    picture = Pyramid(np.zeros((size[1], size[0], 3), np.uint8))
    for view in views(*size, smallest_sought(*size))[0]:
        pixels, _ = view.show(picture)
        assert all(side % 32 == 0 and 32 <= side <= LONGEST for side in pixels.shape[:2])


def test_a_view_shows_its_part_of_the_picture() -> None:
    pixels = np.zeros((1200, 1600, 3), np.uint8)
    pixels[700:760, 900:980] = 255
    shown, seen = View(800, 600, 640, 480, 2.5).show(Pyramid(pixels))
    rows, columns = np.nonzero(shown[..., 0] > 128)
    across, down = seen.width / shown.shape[1], seen.height / shown.shape[0]
    assert seen.left + columns.min() * across == pytest.approx(900, abs=3)
    assert seen.left + (columns.max() + 1) * across == pytest.approx(980, abs=3)
    assert seen.top + rows.min() * down == pytest.approx(700, abs=3)
    assert seen.top + (rows.max() + 1) * down == pytest.approx(760, abs=3)


@pytest.mark.parametrize(("x", "y"), [(500, 400), (2, 3), (990, 740), (990, 2)])
@pytest.mark.parametrize("width", [10, 40, 150])
def test_a_close_view_shows_a_box_of_any_width_alike_and_lies_inside(x: float, y: float, width: float) -> None:
    view = close_view(BoundingBox(x - width / 2, y - width / 2, width, width), 1000, 750)
    assert view.left >= 0
    assert view.top >= 0
    assert view.left + view.width <= 1000
    assert view.top + view.height <= 750
    assert view.left <= x <= view.left + view.width
    assert view.top <= y <= view.top + view.height
    pixels, _ = view.show(Pyramid(np.zeros((750, 1000, 3), np.uint8)))
    assert pixels.shape == (128, 128, 3)
    assert 40 < width / view.step < 64


def test_a_close_view_of_a_small_picture_is_no_larger_than_the_picture() -> None:
    view = close_view(BoundingBox(-20, 5, 80, 80), 50, 300)
    assert (view.left, view.width) == (0, 50)
    assert view.top + view.height <= 300


def test_a_nearer_view_shows_the_middle_larger() -> None:
    box = BoundingBox(300, 200, 100, 100)
    far, near = close_view(box, 1000, 750), close_view(box, 1000, 750, nearer=2.0)
    assert near.width == pytest.approx(far.width / 2)
    assert near.left + near.width / 2 == pytest.approx(far.left + far.width / 2)
