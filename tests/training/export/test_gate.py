"""The gate between several distributions of a face."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidParameter
from tests.training.tiny_run import SIZE, tiny_recipe
from training.data.store import FaceStore
from training.export.convert import load_run, shared_crop
from training.export.gate import Answers, Gate, answer_of, answers_beside, fit_gate, gated, mixture_loss
from training.export.graph import ExportRefused
from training.export.release import Split
from training.fit.train import train
from training.model.initialise import trained_model
from training.teaching.teacher import Teacher

COUNT = 400


def bells(ages: np.ndarray) -> np.ndarray:
    powers = np.exp(-(((np.arange(101) - ages[:, None]) / 3) ** 2) / 2)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.fixture
def answers() -> Answers:
    """Faces whose first feature says which of both heads is right; the other is 20 years off."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(COUNT, 5))
    ages = rng.integers(20, 60, COUNT)
    off = np.where(features[:, 0] > 0, 20, 0)
    return Answers.of(features, [bells(ages + off), bells(ages + 20 - off)], ages, ages)


def test_a_gate_learns_which_head_is_right_of_which_faces(answers: Answers) -> None:
    gate = fit_gate(answers)
    shares = gate.shares(answers.features)[:, 1]
    assert shares[answers.features[:, 0] > 0.5].min() > 0.8
    assert shares[answers.features[:, 0] < -0.5].max() < 0.2


def test_its_loss_is_that_of_faces_it_was_not_fitted_on(answers: Answers) -> None:
    noise = replace(answers, features=np.random.default_rng(4).normal(size=(COUNT, 200)))
    gate = fit_gate(noise)
    assert gate.loss > mixture_loss(noise, gate)


def test_a_gate_stands_between_three_heads_as_well() -> None:
    rng = np.random.default_rng(6)
    features = rng.normal(size=(COUNT, 3))
    ages, right = rng.integers(30, 60, COUNT), features.argmax(axis=1)
    pmfs = [bells(ages + np.where(right == head, 0, 20)) for head in range(3)]
    shares = fit_gate(Answers.of(features, pmfs, ages, ages)).shares(features)
    assert shares.sum(axis=1) == pytest.approx(1)
    apart = np.sort(features, axis=1)[:, 2] - np.sort(features, axis=1)[:, 1] > 0.5
    assert (shares.argmax(axis=1) == right)[apart].mean() > 0.95


def test_on_faces_without_ages_the_gate_follows_the_teacher(answers: Answers) -> None:
    # A kind of faces that the labelled ones do not hold: the last feature tells it.
    known = replace(answers, features=answers.features * [1, 1, 1, 1, 0.1])
    features = known.features.copy()
    features[:, 4] += 2
    ages = np.random.default_rng(7).integers(20, 60, COUNT)
    others = Answers.taught(features, [bells(ages + 15), bells(ages)], bells(ages))
    plain, both = fit_gate(known), fit_gate(Answers.joined([known, others]))
    assert plain.shares(features)[:, 1].mean() < 0.7
    assert both.shares(features)[:, 1].mean() > 0.9
    even = Gate(np.zeros((5, 2)), np.zeros(2), 0.0, 0.1)
    assert both.loss < mixture_loss(known, even) / 2


def test_ages_between_a_groups_ends_do_not_draw_the_gate() -> None:
    rng = np.random.default_rng(5)
    ages = np.full(COUNT, 40)
    answers = Answers.of(rng.normal(size=(COUNT, 2)), [bells(ages), bells(ages + 5)], ages - 25, ages + 25)
    for biases in ([9.0, 0.0], [0.0, 9.0]):
        gate = Gate(np.zeros((2, 2)), np.array(biases), 0.0, 0.1)
        assert mixture_loss(answers, gate) == pytest.approx(0, abs=1e-4)


def test_a_run_with_both_heads_becomes_one_that_mixes_them(store_path: Path, tmp_path: Path) -> None:
    options = {"ages": True, "imdb_wiki": True, "weight": 0.3}
    recipe = replace(tiny_recipe(epochs=1), head="coral", head_options=options)
    train(recipe, [FaceStore.open(store_path)], tmp_path / "run")
    gate = gated(tmp_path / "run", [store_path], tmp_path / "gated")
    model, made = trained_model(tmp_path / "gated")
    assert made.head == "dldl"
    pixels = Split.load([store_path], "val", shared_crop([store_path], SIZE)).faces
    features, *pmfs = answer_of(model)(pixels)
    expected = np.einsum("nk,knt->nt", gate.shares(features), np.stack(pmfs))
    np.testing.assert_allclose(model.head.pmf(model.predict_on_batch(pixels)), expected, atol=1e-5)
    with pytest.raises(InvalidParameter, match="gated holds a run already"):
        gated(tmp_path / "run", [store_path], tmp_path / "gated")


def test_a_run_without_both_heads_is_refused(store_path: Path, tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1), [FaceStore.open(store_path)], tmp_path / "run")
    with pytest.raises(InvalidParameter, match="a gate stands between both"):
        gated(tmp_path / "run", [store_path], tmp_path / "gated")


def test_a_softmax_that_taught_beside_coral_can_be_served_alone(store_path: Path, tmp_path: Path) -> None:
    recipe = replace(tiny_recipe(epochs=1), head="coral", head_options={"ages": True, "weight": 0.3})
    train(recipe, [FaceStore.open(store_path)], tmp_path / "run")
    served, made = load_run(tmp_path / "run", "dldl")
    model, _ = trained_model(tmp_path / "run")
    faces = Split.load([store_path], "val", shared_crop([store_path], SIZE)).faces
    ages = model.predict_on_batch(faces)[:, 100:201]
    powers = np.exp(ages - ages.max(axis=1, keepdims=True))
    np.testing.assert_allclose(served.predict_on_batch(faces), powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    assert made.head == "dldl"


def test_heads_that_only_taught_the_features_are_not_in_the_served_network(store_path: Path, tmp_path: Path) -> None:
    options = {"ages": True, "imdb_wiki": True, "weight": 0.3, "dropout": 0.1, "smoothness": 0.1}
    recipe = replace(tiny_recipe(epochs=1), head="coral", head_options=options)
    train(recipe, [FaceStore.open(store_path)], tmp_path / "run")
    served, made = load_run(tmp_path / "run")
    model, _ = trained_model(tmp_path / "run")
    faces = Split.load([store_path], "val", shared_crop([store_path], SIZE)).faces
    expected = model.head.pmf(model.predict_on_batch(faces))
    np.testing.assert_allclose(served.predict_on_batch(faces), expected, atol=1e-6)
    assert made == recipe
    assert served.count_params() == model.count_params() - 16 * 101 - 101 - (16 * 256 + 256) - (256 * 100 + 100)


def test_a_head_that_was_not_trained_is_not_served(store_path: Path, tmp_path: Path) -> None:
    train(replace(tiny_recipe(epochs=1), head="coral"), [FaceStore.open(store_path)], tmp_path / "run")
    with pytest.raises(ExportRefused, match="no dldl head beside its coral one: it lacks head_ages"):
        load_run(tmp_path / "run", "dldl")


def test_faces_without_ages_are_compared_with_the_teacher_clean_and_worn_but_not_those_of_test(
    store_path: Path,
) -> None:
    store = FaceStore.open(store_path)
    unseen = {row["row"] for row in store.select("test").rows}
    asked: list[int] = []

    def ask(faces: np.ndarray) -> np.ndarray:
        asked.append(len(faces))
        return bells(np.full(len(faces), 40))

    def answer(faces: np.ndarray) -> tuple[np.ndarray, ...]:
        return faces.mean(axis=(1, 2)), bells(np.full(len(faces), 40)), bells(np.full(len(faces), 45))

    answers = answers_beside(answer, Teacher(ask, 101, 0), store_path, shared_crop([store_path], SIZE))
    assert sum(asked) == len(store.rows) - len(unseen)
    assert max(asked) <= 32, "a network's maps of two thousand faces take gigabytes"
    assert len(answers.features) == 3 * sum(asked)
    assert not answers.labelled.any()
    assert answers.wrong[:, 0] == pytest.approx(0)
    assert np.square(answers.wrong[:, 1]).sum(axis=1).min() > 1


def test_a_store_without_faces_to_fit_a_gate_to_is_refused_by_name(store_path: Path, tmp_path: Path) -> None:
    empty = tmp_path / "tested-only"
    shutil.copytree(store_path, empty)
    index = (empty / "index.csv").read_text()
    (empty / "index.csv").write_text(re.sub("train|val|calib", "test", index))
    crop = shared_crop([store_path], SIZE)
    with pytest.raises(InvalidParameter, match=r"tested-only has no faces of the splits train, val and calib"):
        answers_beside(lambda faces: (np.ones((len(faces), 3)),), Teacher(bells, 101, 0), empty, crop)
    with pytest.raises(InvalidParameter, match=r"tested-only .* a margin of 0\.1 and the model takes 32 with 0\.2"):
        answers_beside(lambda _: (), Teacher(bells, 101, 0), empty, crop.model_copy(update={"margin": 0.2}))
