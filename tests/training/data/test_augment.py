"""Augmentation: equal seeds, the exact centre without it, and what each strength does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.inference.faces import Pixels
from service.inference.imaging import exposed
from service.inference.manifest import CropSpec
from training.data.augment import NO_AUGMENTATION, Augmentation, centre, framed_and_changed

SIZE = 64


@pytest.fixture
def wide() -> Pixels:
    return np.random.default_rng(0).integers(1, 256, (88, 88, 3), dtype=np.uint8)


def augment(wide: Pixels, size: int, strength: Augmentation, seed: tuple[int, ...]) -> Pixels:
    return framed_and_changed(wide, size, strength, seed)[1]


def test_equal_seeds_give_equal_faces_and_others_differ(wide: Pixels) -> None:
    first, again, other = (augment(wide, SIZE, Augmentation(), seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any()


def test_without_augmentation_the_face_is_the_exact_centre(wide: Pixels) -> None:
    assert (augment(wide, SIZE, NO_AUGMENTATION, (5,)) == wide[12:76, 12:76]).all()
    assert (centre(wide[None], SIZE)[0] == wide[12:76, 12:76]).all()


def test_a_flip_mirrors(wide: Pixels) -> None:
    flipped = augment(wide, SIZE, replace(NO_AUGMENTATION, flip_share=1.0), (1,))
    assert (flipped == centre(wide, SIZE)[:, ::-1]).all()


def test_a_scale_above_one_makes_the_face_smaller() -> None:
    wide = np.full((88, 88, 3), 10, dtype=np.uint8)
    wide[34:54, 34:54] = 250
    smaller = augment(wide, SIZE, replace(NO_AUGMENTATION, scale_low=1.25, scale_high=1.25), (1,))
    assert (smaller[..., 0] > 128).sum() == pytest.approx(16 * 16, abs=40)


def test_scales_are_drawn_within_their_limits() -> None:
    wide = np.full((88, 88, 3), 10, dtype=np.uint8)
    wide[34:54, 34:54] = 250
    strength = replace(NO_AUGMENTATION, scale_low=0.8, scale_high=1.25)
    sides = [np.sqrt((augment(wide, SIZE, strength, (i,))[..., 0] > 128).sum()) for i in range(60)]
    assert 15 <= min(sides) < 18 < 22 < max(sides) <= 26


def test_another_format_changes_one_side_against_the_other_and_the_teacher_does_not_see_it() -> None:
    wide = np.full((220, 220, 3), 10, dtype=np.uint8)
    wide[80:140, 80:140] = 250
    strength = replace(NO_AUGMENTATION, aspect_share=1.0, aspect=1.5)
    ratios = []
    for seed in range(40):
        framed, face = framed_and_changed(wide, 160, strength, (seed,))
        bright = face[..., 0] > 128
        assert bright.sum() == pytest.approx(60 * 60, rel=0.06)
        assert bright[80, 80]
        assert (framed == centre(wide, 160)).all()
        ratios.append(bright.any(axis=0).sum() / bright.any(axis=1).sum())
    assert 1 / 1.55 <= min(ratios) < 0.75
    assert 1.35 < max(ratios) <= 1.55


def test_glasses_cover_both_eyes_and_not_the_mouth() -> None:
    wide = np.full((220, 220, 3), 250, dtype=np.uint8)
    for seed in range(20):
        framed, face = framed_and_changed(wide, 160, replace(NO_AUGMENTATION, glasses_share=1.0), (seed,))
        dark = face.max(axis=2) < 128
        assert dark[50, 48]
        assert dark[50, 112]
        assert not dark[80:].any()
        assert (framed == 250).all()


def test_glasses_do_not_reach_beyond_the_picture() -> None:
    wide = np.full((220, 220, 3), 250, dtype=np.uint8)
    strength = replace(NO_AUGMENTATION, glasses_share=1.0, chip_share=1.0, chip_low=0.3, chip_high=0.5)
    for seed in range(20):
        framed, face = framed_and_changed(wide, 160, strength, (seed,))
        assert not face[framed.max(axis=2) == 0].any()


def test_beyond_a_chip_is_black_whatever_the_tone(wide: Pixels) -> None:
    strength = replace(NO_AUGMENTATION, chip_share=1.0, chip_low=0.5, chip_high=0.5, brightness=0.4, tint_share=1.0)
    corners = [augment(wide, SIZE, strength, (i,)) for i in range(40)]
    assert any((face[:8, :8] == 0).all() for face in corners)
    assert all((face[24:40, 24:40] > 0).any() for face in corners)


def test_a_chip_leaves_the_middle_as_it_is(wide: Pixels) -> None:
    strength = replace(NO_AUGMENTATION, chip_share=1.0, chip_low=0.5, chip_high=0.8)
    face = augment(wide, SIZE, strength, (2,))
    assert (face[24:40, 24:40] == centre(wide, SIZE)[24:40, 24:40]).all()


def test_grey_faces_have_equal_channels(wide: Pixels) -> None:
    grey = augment(wide, SIZE, replace(NO_AUGMENTATION, grey_share=1.0), (1,)).astype(int)
    assert np.abs(grey[..., 0] - grey[..., 2]).max() <= 1


@pytest.mark.parametrize(
    "strength",
    [
        {"rotation_deg": 20.0},
        {"shift": 0.2},
        {"tint_share": 1.0},
        {"brightness": 0.3},
        {"contrast": 0.3},
        {"saturation": 0.5},
        {"gamma": 0.5},
        {"blur_share": 1.0},
        {"low_resolution_share": 1.0},
        {"jpeg_share": 1.0},
        {"noise_share": 1.0},
        {"erase_share": 1.0},
        {"wear_share": 1.0},
        {"aspect_share": 1.0},
        {"glasses_share": 1.0},
        {"stretch_share": 1.0, "contrast": 0.4},
    ],
)
def test_each_strength_alone_changes_the_face(wide: Pixels, strength: dict[str, float]) -> None:
    changed = augment(wide, SIZE, replace(NO_AUGMENTATION, **strength), (4,))  # type: ignore[arg-type]
    assert (changed != centre(wide, SIZE)).any()


def test_some_noise_has_colour_and_some_has_none(wide: Pixels) -> None:
    grey = np.full_like(wide, 128)
    strength = replace(NO_AUGMENTATION, noise_share=1.0, noise_sigma=20.0)
    noisy = [augment(grey, SIZE, strength, (i,)) for i in range(20)]
    without_colour = [(face[..., 0] == face[..., 2]).all() for face in noisy if face.std() > 1]
    assert 0 < sum(without_colour) < len(without_colour)


def test_a_low_resolution_face_has_lost_its_detail(wide: Pixels) -> None:
    coarse = augment(wide, SIZE, replace(NO_AUGMENTATION, low_resolution_share=1.0, low_resolution_px=8), (3,))
    assert np.abs(np.diff(coarse.astype(int), axis=1)).mean() < np.abs(np.diff(wide.astype(int), axis=1)).mean() / 2


def test_a_stretched_face_is_exposed_as_the_service_does_it_and_keeps_the_black_beyond_the_picture() -> None:
    wide = np.random.default_rng(0).integers(90, 121, (88, 88, 3), dtype=np.uint8)
    wide[:20] = 0
    stretched = augment(wide, SIZE, replace(NO_AUGMENTATION, stretch_share=1.0), (1,))
    plain = augment(wide, SIZE, NO_AUGMENTATION, (1,))
    np.testing.assert_array_equal(stretched, exposed(plain, CropSpec(size=SIZE, margin=0.0, exposure="stretched")))
    assert (stretched[:8] == 0).all()
    assert np.ptp(stretched[8:]) == 255
