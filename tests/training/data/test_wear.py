"""Wear: grain as strong and as coarse as asked whatever the picture's size, and what else prints and copies do."""

from __future__ import annotations

import numpy as np
import pytest

from service.inference.faces import Pixels
from training.data.wear import (
    KINDS,
    bordered,
    compressed_twice,
    exposed,
    faded,
    flat,
    grain,
    grey,
    half_tone,
    scan_lines,
    small,
    worn,
)

GREY = np.full((160, 160, 3), 128, np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def likeness(face: Pixels, apart: int) -> float:
    """Correlation of pixels so many columns apart."""
    field = face[..., 0].astype(float)
    return float(np.corrcoef(field[:, :-apart].ravel(), field[:, apart:].ravel())[0, 1])


@pytest.mark.parametrize("width", [0.0, 0.7, 1.5, 5.0])
def test_grain_is_as_strong_as_asked_however_coarse(width: float) -> None:
    assert grain(GREY, 16, width, rng()).std() == pytest.approx(16, rel=0.05)


def test_neighbours_in_grain_resemble_each_other_and_in_white_noise_they_do_not() -> None:
    assert abs(likeness(grain(GREY, 16, 0.0, rng()), 1)) < 0.02
    assert likeness(grain(GREY, 16, 1.5, rng()), 1) == pytest.approx(np.exp(-1 / (4 * 1.5**2)), abs=0.03)
    assert likeness(grain(GREY, 16, 1.5, rng()), 12) < 0.1


def test_grain_is_as_coarse_on_the_face_in_a_larger_picture() -> None:
    large = np.full((640, 640, 3), 128, np.uint8)
    worn_large = grain(large, 16, 1.5, rng(), pixel=4.0)
    assert worn_large.std() == pytest.approx(16, rel=0.05)
    assert likeness(worn_large, 4) == pytest.approx(likeness(grain(GREY, 16, 1.5, rng()), 1), abs=0.06)


def test_film_grain_has_no_colour_and_a_sensors_has() -> None:
    assert (np.ptp(grain(GREY, 16, 1.5, rng()), axis=2) == 0).all()
    assert np.ptp(grain(GREY, 16, 1.5, rng(), coloured=True), axis=2).mean() > 10


def test_a_half_tone_leaves_paper_and_ink_alone_and_dots_what_is_between() -> None:
    shades = np.repeat(np.array([0, 128, 255], np.uint8), 40)[None, :, None] * np.ones((120, 1, 3), np.uint8)
    dotted = half_tone(shades, 4.0, 0.6, 45.0)
    assert [int(dotted[:, at : at + 40].std()) > 10 for at in (0, 40, 80)] == [False, True, False]


def test_scan_lines_darken_rows() -> None:
    lined = scan_lines(GREY, 4.0, 0.5)
    assert (lined == lined[:, :1]).all()
    assert lined[:, 0, 0].max() == 128 > 70 > lined[:, 0, 0].min() >= 63


def test_a_faded_print_has_lost_colour_and_contrast_and_its_blacks() -> None:
    face = np.zeros((4, 4, 3), np.uint8)
    face[:2] = (255, 0, 0)
    old = faded(face, 1.0).astype(int)
    assert np.ptp(old, axis=2).max() <= 1
    assert old.min() == 60
    assert np.ptp(old) < np.ptp(face) / 4
    assert (faded(face, 0.5, (16, 3, -20)).astype(int) - faded(face, 0.5).astype(int)).max() == 16


def test_two_stops_less_leave_a_quarter_of_the_light_and_one_more_clips() -> None:
    assert exposed(GREY, -2.0).max() == 32
    assert exposed(GREY, 1.0).min() == 255


def test_flat_pictures_keep_their_mean() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert flat(ramp, 0.3).mean() == pytest.approx(ramp.mean(), abs=0.5)
    assert flat(ramp, 0.3).std() == pytest.approx(0.3 * ramp.std(), rel=0.02)


def test_a_border_covers_the_edge_and_no_more() -> None:
    framed = bordered(GREY, 0.05, 255)
    assert (framed[:8] == 255).all()
    assert (framed[8:-8, 8:-8] == 128).all()


def test_what_is_passed_on_twice_or_small_has_lost_detail() -> None:
    noise = rng().integers(0, 256, (160, 160, 3), dtype=np.uint8)
    for change in (compressed_twice(noise, 25, 25), small(noise, 40)):
        assert change.shape == noise.shape
        assert change.std() < 0.8 * noise.std()
    assert (small(noise, 200) == noise).all()
    assert (np.ptp(grey(noise), axis=2) == 0).all()


def test_equal_generators_wear_alike_and_all_kinds_change_the_face() -> None:
    face = rng().integers(30, 220, (160, 160, 3), dtype=np.uint8)
    assert (worn(face, rng()) == worn(face, rng())).all()
    assert (worn(face, rng()) != face).any()
    for _, kind in KINDS:
        after = kind(face, rng())
        assert after.shape == face.shape
        assert after.dtype == np.uint8
        assert (after != face).any()
