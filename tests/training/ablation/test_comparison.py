"""Figures of several trainings on the same faces, with ranges, and compared with another recipe's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.tiny_run import SIZE, tiny_recipe
from training.ablation import comparison
from training.ablation.comparison import Distributions, digest, distributions_of, figures, per_face_figures
from training.data.store import FaceSet, FaceStore
from training.data.synthetic import synthetic_store
from training.fit.train import train
from training.measures.validation import Scores, score
from training.model.age_model import servable
from training.model.initialise import trained_model
from training.run_folder import BEST
from training.teaching.agreement import Agreement

Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    """Return faces whose labels are then chosen: the youngest 12, then 20, then a span."""
    store = FaceStore.open(synthetic_store(tmp_path / "store", 60, size=48))
    rows = [
        {**row, "low": str(age), "high": str(age)} for row, age in zip(store.rows, [12] * 20 + [20] * 40, strict=False)
    ]
    rows[40:] = [{**row, "low": "25", "high": "60"} for row in rows[40:]]
    return FaceSet(((store, tuple(rows)),))


def at(ages: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return distributions that are sure of an age."""
    return np.eye(101, dtype=np.float32)[ages]


def bell(ages: NDArray[np.float64], width: float) -> NDArray[np.float32]:
    """Return normal distributions around ages, `width` years their standard deviation."""
    weight = np.exp(-np.square((np.arange(101) - ages[:, None]) / width) / 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def told(off: int, worn: int = 0, n: int = 60) -> Distributions:
    """Return a network that is `off` years above 12, 20 and 40, and `worn` more on worn faces."""
    ages = np.repeat([12, 20, 40], 20)[:n]
    return Distributions(at(ages + off), at(ages + off + worn), at(ages - off))


def test_errors_biases_and_sides_are_told_of_faces_whose_age_is_known(faces: FaceSet) -> None:
    found = figures(per_face_figures([told(1, worn=3), told(3, worn=3)], faces))
    assert found["clean"]["mean"] == 2
    assert found["clean"]["trainings"] == [1, 3]
    assert found["worn"]["mean"] == 5
    assert found["bias 10–17"]["mean"] == found["bias 18–25"]["mean"] == 2
    assert found["with the mirror image"]["mean"] < 2
    # 40 and up to 3 lie inside 25 to 60: no error.
    assert found["synthetic"]["mean"] == pytest.approx(2 * 40 / 60, abs=1e-3)
    assert "agreement worn" not in found


def test_a_range_is_over_faces_of_what_all_trainings_say_on_average() -> None:
    values = np.array([[1.0] * 50 + [3.0] * 50, [3.0] * 50 + [5.0] * 50])
    found = figures({"clean": values})["clean"]
    assert found["mean"] == 3
    assert found["trainings"] == [2, 4]
    assert 2.75 < found["low"] < 2.9 < 3.1 < found["high"] < 3.25


def test_another_recipe_is_compared_face_by_face_and_training_by_training() -> None:
    beside = {"clean": np.random.default_rng(0).normal(10, 5, (2, 40)), "other": np.ones((2, 40))}
    found = figures({"clean": beside["clean"] + [[1.0], [3.0]], "worn": beside["clean"]}, beside)
    assert found["clean"]["more"] == {"mean": 2, "low": 2, "high": 2, "trainings": [1, 3]}
    assert found["clean"]["low"] < found["clean"]["mean"] < found["clean"]["high"]
    assert "more" not in found["worn"]
    assert "other" not in found


def test_a_network_that_knows_a_bad_picture_covers_worn_faces_as_often_as_good_ones(faces: FaceSet) -> None:
    ages = np.repeat([12, 20, 40], 20)
    off = np.tile([NormalDist().inv_cdf((place + 0.5) / 20) for place in range(20)], 3)
    knows = Distributions(bell(ages + off, 1), bell(ages + 4 * off, 4), bell(ages, 1))
    blind = Distributions(bell(ages + off, 2), bell(ages + 4 * off, 2), bell(ages, 2))
    seeing, seen = (figures(per_face_figures([each], faces)) for each in (knows, blind))
    assert seen["coverage gap"]["mean"] > 0.15
    assert seeing["coverage gap"]["mean"] == pytest.approx(0, abs=0.1)
    # Nine in ten of both are inside ±1.64 of their own widths, 1 and 4 years.
    assert seeing["interval"]["mean"] == pytest.approx(1.64 * (1 + 4), abs=1.5)
    assert seen["interval"]["mean"] > seeing["interval"]["mean"]


def test_the_distance_to_a_teacher_is_told_of_worn_faces_and_of_those_without_an_age(faces: FaceSet) -> None:
    teacher = Agreement(faces, np.repeat([12.0, 20.0, 45.0], 20))
    found = figures(per_face_figures([told(1, worn=2)], faces, teacher))
    assert found["agreement unlabelled"]["mean"] == 4
    assert found["agreement worn"]["mean"] == pytest.approx((3 + 3 + 2) / 3, abs=1e-3)


def test_a_network_is_asked_about_faces_worn_faces_and_mirror_images_once(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, store = tmp_path / "run", FaceStore.open(store_path)
    train(tiny_recipe(epochs=1), [store], run)
    some = store.select("val")
    first = distributions_of(run, some)
    asked = servable(trained_model(run)[0]).predict_on_batch
    seen = some.faces(np.arange(len(some)), SIZE)
    for said, of in [(first.clean, seen), (first.mirrored, seen[:, :, ::-1])]:
        assert said == pytest.approx(np.asarray(asked(of)), abs=1e-5)
    assert not np.allclose(first.worn, first.clean)
    scored: list[FaceSet] = []

    def counted(answer: Answer, faces: FaceSet, size: int, batch: int) -> Scores:
        scored.append(faces)
        return score(answer, faces, size, batch)

    monkeypatch.setattr(comparison, "score", counted)
    assert (distributions_of(run, some).worn == first.worn).all()
    assert not scored
    assert len(distributions_of(run, store.select("test")).clean) == len(store.select("test"))
    assert len(scored) == 3
    distributions_of(run, some)
    train(tiny_recipe(epochs=1, seed=4), [store], tmp_path / "other")
    shutil.copy(tmp_path / "other" / BEST, run / BEST)
    scored.clear()
    assert not np.allclose(distributions_of(run, some).clean, first.clean)
    assert len(scored) == 3


def test_faces_cut_otherwise_have_another_digest(store_path: Path, tmp_path: Path) -> None:
    faces = FaceStore.open(store_path).select("val")
    other = FaceStore.open(synthetic_store(tmp_path / "other", 100, size=48)).select("val")
    again = FaceStore.open(store_path).select("val")
    assert len({digest(faces), digest(again)}) == 1
    assert len({digest(faces), digest(other), digest(faces.limited(5)), digest(faces, store_path / "index.csv")}) == 4
