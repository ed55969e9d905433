"""How far a network is from the IMDB-WIKI network, on worn faces and on those without an age."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InvalidParameter
from tests.training.tiny_run import SIZE, Memory, tiny_recipe
from training.data.store import FaceSet, FaceStore
from training.fit import train as train_module
from training.fit.train import train
from training.measures.validation import WornFaces, score
from training.recipes.recipe import recipe_named
from training.teaching import agreement as agreement_module
from training.teaching.agreement import Agreement, keeps_imdb_wiki
from training.teaching.teacher import Faces, Targets, Teacher

YOUNG, OLD = 30, 50


def always(age: int) -> Teacher:
    def run(faces: Faces) -> Targets:
        return np.eye(101, dtype=np.float32)[[age] * len(faces)]

    return Teacher(run, 101, 0, once=True)


def grained(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answer 50 for a face with an odd sum of shades and 30 for one with an even sum."""
    return np.eye(101, dtype=np.float32)[np.where(faces.sum(axis=(1, 2, 3)) % 2, OLD, YOUNG)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the IMDB-WIKI network say 50 of every face; return who has been opened as a teacher, where."""
    opened: list[str] = []
    for module in (train_module, agreement_module):
        monkeypatch.setattr(module, "teacher_named", lambda name, _, module=module: named(module.__name__, name))

    def named(where: str, name: str) -> Teacher:
        opened.append(f"{where.rpartition('.')[2]}: {name}")
        return always(OLD)

    return opened


@pytest.fixture
def val(store_path: Path) -> FaceSet:
    return FaceStore.open(store_path).select("val")


def agreement(faces: FaceSet, age: int, folder: Path) -> Agreement:
    file = folder / "lessons.val.0.npy"
    np.save(file, always(age).run(np.zeros((len(faces), 1), np.uint8)))
    return Agreement.with_imdb_wiki(faces, SIZE, file)


def test_faces_without_an_age_are_compared_unworn_and_all_are_compared_worn(val: FaceSet, tmp_path: Path) -> None:
    vars(val)["high"] = np.where(np.arange(len(val)) < 5, val.low + 40, val.high)
    clean = score(grained, val, SIZE, 8)
    found = agreement(val, YOUNG, tmp_path).of(grained, clean, SIZE, 8)
    assert found["agreement/unlabelled"] == pytest.approx(np.abs(clean.ages[:5] - YOUNG).mean(), abs=0.01)
    worn = score(grained, WornFaces(val.parts), SIZE, 8)
    assert found["agreement/worn"] == pytest.approx(np.abs(worn.ages - YOUNG).mean(), abs=0.01)
    assert (worn.ages != clean.ages).any()


def test_a_set_with_an_age_for_each_face_has_no_agreement_without(val: FaceSet, tmp_path: Path) -> None:
    found = agreement(val, OLD, tmp_path).of(always(YOUNG).run, score(always(YOUNG).run, val, SIZE, 8), SIZE, 8)
    assert found == {"agreement/worn": pytest.approx(20, abs=0.01)}


@pytest.mark.parametrize(
    ("name", "keeps"), [("dldl_imdbwiki", True), ("coral_imdbwiki", True), ("coral_mobilenet", False)]
)
def test_recipes_that_keep_what_imdb_wiki_taught_are_watched(name: str, keeps: bool) -> None:
    assert keeps_imdb_wiki(recipe_named(name)) is keeps


def test_a_run_reports_the_agreement_after_each_epoch(store_path: Path, tmp_path: Path, asked: list[str]) -> None:
    memory = Memory()
    train(tiny_recipe(epochs=2, teacher="imdbwiki"), [FaceStore.open(store_path)], tmp_path, tracker=memory)
    assert asked == ["train: imdbwiki", "agreement: imdbwiki"]
    assert len(memory.values["agreement/worn"]) == 2
    assert (tmp_path / "lessons.val.0.npy").exists()


def test_what_that_network_said_is_kept_and_it_is_not_opened_again(
    val: FaceSet, tmp_path: Path, asked: list[str]
) -> None:
    file = tmp_path / "lessons.val.0.npy"
    for _ in range(2):
        found = Agreement.with_imdb_wiki(val, SIZE, file)
        assert found.ages == pytest.approx(np.full(len(val), OLD), abs=0.01)
    assert asked == ["agreement: imdbwiki"]


def test_answers_about_other_faces_are_refused_with_what_to_do(val: FaceSet, tmp_path: Path) -> None:
    np.save(tmp_path / "lessons.npy", np.zeros((3, 101), np.float32))
    with pytest.raises(InvalidParameter, match=r"lessons \(3, 101\), not .*delete it"):
        Agreement.with_imdb_wiki(val, SIZE, tmp_path / "lessons.npy")


def test_a_run_without_that_network_reports_none(store_path: Path, tmp_path: Path) -> None:
    memory = Memory()
    train(tiny_recipe(epochs=1), [FaceStore.open(store_path)], tmp_path, tracker=memory)
    assert not [name for name in memory.values if name.startswith("agreement")]
