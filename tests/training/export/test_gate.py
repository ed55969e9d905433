"""The gate between a network's softmax and the IMDB-WIKI head beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidParameter
from tests.training.tiny_run import SIZE, tiny_recipe
from training.data.store import FaceStore
from training.export.convert import load_run, shared_crop
from training.export.gate import Answers, answers_of, fit_gate, gated, mixture_loss
from training.export.graph import ExportRefused
from training.export.release import Split
from training.fit.train import train
from training.model.initialise import trained_model

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
    return Answers(features, bells(ages + off), bells(ages + 20 - off), ages, ages, np.arange(COUNT))


def test_a_gate_learns_which_head_is_right_of_which_faces(answers: Answers) -> None:
    gate = fit_gate(answers)
    shares = gate.shares(answers.features)
    assert shares[answers.features[:, 0] > 0.5].min() > 0.8
    assert shares[answers.features[:, 0] < -0.5].max() < 0.2


def test_its_loss_is_that_of_faces_it_was_not_fitted_on(answers: Answers) -> None:
    noise = replace(answers, features=np.random.default_rng(4).normal(size=(COUNT, 200)))
    gate = fit_gate(noise)
    fitted = mixture_loss(noise, (gate.weights, gate.bias))
    assert gate.loss > fitted


def test_ages_between_a_groups_ends_do_not_draw_the_gate() -> None:
    rng = np.random.default_rng(5)
    ages = np.full(COUNT, 40)
    answers = Answers(rng.normal(size=(COUNT, 2)), bells(ages), bells(ages + 5), ages - 25, ages + 25, np.arange(COUNT))
    assert mixture_loss(answers, (np.zeros(2), -9.0)) == pytest.approx(0, abs=1e-4)
    assert mixture_loss(answers, (np.zeros(2), 9.0)) == pytest.approx(0, abs=1e-4)


def test_a_run_with_both_heads_becomes_one_that_mixes_them(store_path: Path, tmp_path: Path) -> None:
    options = {"ages": True, "imdb_wiki": True, "weight": 0.3}
    recipe = replace(tiny_recipe(epochs=1), head="coral", head_options=options)
    train(recipe, [FaceStore.open(store_path)], tmp_path / "run")
    gate = gated(tmp_path / "run", [store_path], tmp_path / "gated")
    model, made = trained_model(tmp_path / "gated")
    assert made.head == "dldl"
    answers = answers_of(model, [store_path], shared_crop([store_path], SIZE))
    faces = FaceStore.open(store_path).select("val")
    pixels = Split.load([store_path], "val", shared_crop([store_path], SIZE)).faces
    share = gate.shares(answers.features[: len(faces)])[:, None]
    expected = (1 - share) * answers.own[: len(faces)] + share * answers.other[: len(faces)]
    np.testing.assert_allclose(model.head.pmf(model.predict_on_batch(pixels)), expected, atol=1e-5)


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


def test_a_head_that_was_not_trained_is_not_served(store_path: Path, tmp_path: Path) -> None:
    train(replace(tiny_recipe(epochs=1), head="coral"), [FaceStore.open(store_path)], tmp_path / "run")
    with pytest.raises(ExportRefused, match="no dldl head beside its coral one: it lacks head_ages"):
        load_run(tmp_path / "run", "dldl")
