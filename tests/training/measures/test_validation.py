"""Errors of predicted ages on labelled faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.store import FaceSet, FaceStore
from training.data.synthetic import synthetic_store
from training.measures.validation import Scores, mae_by_source, score
from training.measures.validation import scored as scores_of
from training.tracking.gallery import (
    HEADING_PX,
    RELIABILITY_AGES,
    age_error_bands,
    age_error_curve,
    caption,
    face_grid,
    reliability_curves,
    reliability_diagram,
    spread,
    worst,
)


@pytest.fixture
def faces(store_path: Path) -> FaceSet:
    return FaceStore.open(store_path).select("val")


def certain(ages: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.eye(101, dtype=np.float32)[ages]


def scored(faces: FaceSet, ages: NDArray[np.int64]) -> Scores:
    pmf = iter(np.split(certain(ages), len(ages)))
    return score(lambda batch: np.concatenate([next(pmf) for _ in batch]), faces, 32, 1)


def test_the_error_is_the_distance_in_years(faces: FaceSet) -> None:
    assert scored(faces, faces.low + 3 * (faces.low < 50) - 5 * (faces.low >= 50)).errors == pytest.approx(
        np.where(faces.low < 50, 3.0, np.minimum(5.0, faces.low))
    )


def test_a_group_counts_the_distance_outside_it(store_path: Path) -> None:
    store = FaceStore.open(store_path)
    rows = tuple({**row, "low": "25", "high": "32"} for row in store.rows[:3])
    assert list(scored(FaceSet(((store, rows),)), np.array([20, 28, 40])).errors) == [5.0, 0.0, 8.0]


def test_the_last_batch_is_padded_to_the_same_shape(faces: FaceSet) -> None:
    shapes = []

    def predict(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        shapes.append(batch.shape)
        return certain(np.zeros(len(batch), dtype=np.int64))

    assert len(score(predict, faces, 32, 4).ages) == 10
    assert set(shapes) == {(4, 32, 32, 3)}


def test_each_store_has_its_own_error(faces: FaceSet, tmp_path: Path) -> None:
    other = FaceStore.open(synthetic_store(tmp_path, 100, size=32, bleed=6, seed=9, source="other")).select("val")
    joined = FaceSet.joined([faces, other])
    ages = np.clip(joined.low + np.repeat([1, -2], 10), 0, 100)
    errors = np.abs(ages - joined.low)
    assert mae_by_source(scored(joined, ages), joined) == pytest.approx(
        {"synthetic": errors[:10].mean(), "other": errors[10:].mean()}
    )


def test_two_stores_of_one_source_have_one_error(faces: FaceSet) -> None:
    joined = FaceSet.joined([faces, faces])
    ages = np.clip(joined.low + np.repeat([1, 5], 10), 0, 100)
    errors = np.abs(ages - joined.low)
    assert mae_by_source(scored(joined, ages), joined) == pytest.approx({"synthetic": errors.mean()})


def test_a_caption_shows_true_age_predicted_age_and_interval(faces: FaceSet) -> None:
    scores = scored(faces, np.full(10, 40))
    assert caption(faces, scores, 2) == f"{faces.low[2]} > 40 (40-40)"


def test_a_grid_has_a_tile_for_each_face(faces: FaceSet) -> None:
    scores = scored(faces, faces.low)
    grid = face_grid(faces, scores, spread(faces, 5), 32, columns=3)
    assert grid.shape == (HEADING_PX + 2 * 144, 3 * 128, 3)
    tiles = grid[HEADING_PX:]
    assert (tiles[144:, 256:] == 0).all()
    assert (tiles[144:272, 128:256] > 0).any()


def test_a_grid_says_above_what_its_captions_are(faces: FaceSet) -> None:
    grid = face_grid(faces, scored(faces, faces.low), spread(faces, 5), 32)
    written = (grid[:HEADING_PX] > 128).any(axis=(0, 2))
    assert 200 < np.flatnonzero(written).max() < 500


def test_the_worst_errors_come_first(faces: FaceSet) -> None:
    ages = faces.low.copy()
    ages[[7, 3]] = (np.where(faces.low[[7, 3]] > 50, 0, 100),)
    scores = scored(faces, ages)
    assert set(worst(scores, 2)) == {7, 3}
    assert scores.errors[worst(scores, 2)[0]] >= scores.errors[worst(scores, 2)[1]]


def test_the_error_curve_counts_every_face_once(faces: FaceSet) -> None:
    bands = age_error_bands(faces, scored(faces, np.full(10, 40)))
    assert sum(count for _, _, count in bands) == 10
    assert [error for first, error, _ in bands if first == 40] in ([], [pytest.approx(2, abs=2)])
    assert age_error_curve(bands).shape == (360, 640, 3)


def test_an_error_of_few_faces_is_drawn_hollow() -> None:
    blue = (31, 119, 180)
    drawn = {n: int((age_error_curve([(40, 2.0, n)]) == blue).all(axis=2).sum()) for n in (9, 10)}
    assert 0 < 2 * drawn[9] < drawn[10]


def test_the_reliability_diagram_compares_what_was_said_with_what_was_true(store_path: Path) -> None:
    faces = FaceStore.open(store_path).select("train")
    said = np.linspace(0.05, 0.95, 70)
    pmf = np.zeros((70, 101))
    pmf[:, 0], pmf[:, 100] = 1 - said, said
    curves = reliability_curves(faces, scores_of(pmf, faces))
    assert [age for age, _, _ in curves] == list(RELIABILITY_AGES)
    for age, predicted, observed in curves:
        assert predicted == pytest.approx(said.reshape(7, 10).mean(axis=1))
        assert observed == pytest.approx((faces.low >= age).reshape(7, 10).mean(axis=1))
    assert reliability_diagram(curves).shape == (320, 260 * len(RELIABILITY_AGES), 3)


def test_a_face_whose_label_lies_on_both_sides_of_an_age_is_not_in_its_reliability(store_path: Path) -> None:
    store = FaceStore.open(store_path)
    rows = tuple({**row, "low": "15", "high": "20"} for row in store.rows[:3])
    group = FaceSet(((store, rows),))
    counts = {age: len(observed) for age, _, observed in reliability_curves(group, scores_of(np.eye(101)[:3], group))}
    assert counts == {13: 1, 18: 0, 25: 1, 60: 1}
