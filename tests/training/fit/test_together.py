"""Networks that are trained at once, each taught by what all of them say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidParameter
from tests.training.export.bell_model import write_bell_model
from tests.training.tiny_run import SIZE, Memory, tiny_recipe
from training.data.store import Batch, FaceSet, FaceStore
from training.errors import CheckpointCorrupt
from training.fit.launch import launch, relaunch
from training.fit.learner import Learner, Pmf
from training.fit.loss import LABELS, blend_consensus
from training.fit.together import Together, refuse_unlike
from training.fit.train import TrainResult, train
from training.measures.validation import score
from training.model.initialise import new_model, trained_model
from training.recipes.recipe import Recipe, Stage


@pytest.fixture
def stores(store_path: Path) -> list[FaceStore]:
    return [FaceStore.open(store_path)]


@pytest.fixture
def recipes(tmp_path: Path) -> tuple[Recipe, Recipe]:
    teacher = str(write_bell_model(tmp_path, size=SIZE))
    first = tiny_recipe(teacher=teacher, ramp_epochs=0.0)
    return first, replace(first, name="other", head="mean_variance", seed=5)


def run(recipes: tuple[Recipe, Recipe], stores: list[FaceStore], folder: Path, **options: Any) -> TrainResult:
    return train(recipes[0], stores, folder, beside=recipes[1:], **options)


def weights_of(folder: Path) -> list[np.ndarray[Any, Any]]:
    return [np.array(value.numpy()) for value in trained_model(folder)[0].weights]


def test_each_network_is_kept_and_the_error_is_that_of_their_mean(
    recipes: tuple[Recipe, Recipe], stores: list[FaceStore], tmp_path: Path
) -> None:
    result = run(recipes, stores, tmp_path / "run")
    networks = [trained_model(tmp_path / "run"), trained_model(tmp_path / "run" / "other")]
    assert [recipe.name for _, recipe in networks] == ["tiny", "other"]
    learners = [Learner(network, recipe) for network, recipe in networks]
    mean = score(
        lambda faces: np.mean([learner.predict(faces) for learner in learners], axis=0),
        stores[0].select("val"),
        SIZE,
        8,
    )
    assert result.val_mae == pytest.approx(mean.mae, abs=1e-4)
    for learner, (name, mae) in zip(learners, result.each, strict=True):
        own = score(learner.predict, stores[0].select("val"), SIZE, 8)
        assert learner.recipe.name == name
        assert own.mae == pytest.approx(mae, abs=1e-4)
        assert result.spread <= own.spread + 1e-4


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, float]]:
    """Each network's steps: its recipe's name, the backbone's rate, and the share of what all say."""
    steps: list[tuple[str, float, float]] = []
    original = Learner.learn

    def learn(
        self: Learner, batch: Batch, rate: float, ramp: float, said: Pmf | None = None, share: float = 0.0
    ) -> float:
        steps.append((self.recipe.name, self.optimizer.slow_rate, share))
        return original(self, batch, rate, ramp, said, share)

    monkeypatch.setattr(Learner, "learn", learn)
    return steps


def test_every_network_learns_what_the_averages_of_all_say_more_and_more(
    recipes: tuple[Recipe, Recipe],
    stores: list[FaceStore],
    tmp_path: Path,
    learnt: list[tuple[str, float, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Together._said

    def said(self: Together, batch: Batch) -> Pmf:
        apart = [Learner(twin.network, self.recipe).predict(batch.framed) for twin in self.twins]  # type: ignore[arg-type]
        told = asked(self, batch)
        np.testing.assert_allclose(told, np.mean(apart, axis=0), atol=1e-6)
        return told

    monkeypatch.setattr(Together, "_said", said)
    run(recipes, stores, tmp_path / "run")
    one, other = ([share for name, _, share in learnt if name == recipe.name] for recipe in recipes)
    assert one == other == sorted(one)
    assert (one[0], one[-1]) == (0.0, 1.0)


def test_all_are_asked_of_faces_before_they_were_worn_and_only_once_they_have_learnt(
    recipes: tuple[Recipe, Recipe], stores: list[FaceStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    original = Together._said

    def spied(self: Together, batch: Batch) -> Pmf:
        asked.append(batch.framed)
        return original(self, batch)

    monkeypatch.setattr(Together, "_said", spied)
    memory = Memory()
    run(recipes, stores, tmp_path / "run", tracker=memory)
    steps = len(memory.values["loss"])
    assert 0.8 * steps <= len(asked) < steps
    assert all(framed is not None for framed in asked)


def test_the_averages_that_are_asked_follow_the_networks(
    recipes: tuple[Recipe, Recipe], stores: list[FaceStore]
) -> None:
    faces = stores[0].select("train")
    first, other = (_learner(recipe, faces) for recipe in recipes)
    both = Together(first, [other])
    for twin, learner in zip(both.twins, (both, *both.others), strict=True):
        learner.average.values[0] += 1.0
        learner.average.steps = 3
        twin.follow()
        assert not np.array_equal(np.array(twin.network.weights[0].numpy()), learner.average.values[0])
        learner.average.steps = 4
        twin.follow()
        np.testing.assert_array_equal(np.array(twin.network.weights[0].numpy()), learner.average.values[0])


def _learner(recipe: Recipe, faces: FaceSet) -> Learner:
    return Learner(new_model(recipe, faces), recipe)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    recipes: tuple[Recipe, Recipe], stores: list[FaceStore], tmp_path: Path
) -> None:
    whole = run(recipes, stores, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(recipes, stores, tmp_path / "cut", tracker=Memory(cut_at=11))
    assert run(recipes, stores, tmp_path / "cut", resume=True) == replace(whole, run_dir=tmp_path / "cut")
    for name in ("", "other"):
        for one, other in zip(weights_of(tmp_path / "whole" / name), weights_of(tmp_path / "cut" / name), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.fixture
def in_two_stages(recipes: tuple[Recipe, Recipe]) -> tuple[Recipe, Recipe]:
    """Alike but for the rate of the others' backbone; stages that are equal are still two."""
    (stage,) = (replace(stage, epochs=1) for stage in recipes[0].stages)
    slower, slow = replace(stage, backbone_rate=0.25), replace(stage, backbone_rate=0.5)
    return replace(recipes[0], stages=(stage, stage)), replace(recipes[1], stages=(slower, slow))


def test_each_takes_its_own_stage_and_a_later_one_hears_all_from_the_start(
    in_two_stages: tuple[Recipe, Recipe],
    stores: list[FaceStore],
    tmp_path: Path,
    learnt: list[tuple[str, float, float]],
) -> None:
    run(in_two_stages, stores, tmp_path / "run")
    seen = [(slow, share) for name, slow, share in learnt if name == "other"]
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert ({rate for rate, _ in first}, {rate for rate, _ in second}) == ({0.25}, {0.5})
    assert first[0][1] == 0.0
    assert {share for _, share in second} == {1.0}


def test_a_run_cut_off_in_its_second_stage_goes_on(
    in_two_stages: tuple[Recipe, Recipe], stores: list[FaceStore], tmp_path: Path
) -> None:
    whole = run(in_two_stages, stores, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(in_two_stages, stores, tmp_path / "cut", tracker=Memory(cut_at=14))
    assert run(in_two_stages, stores, tmp_path / "cut", resume=True).val_mae == pytest.approx(whole.val_mae, abs=1e-4)


def test_a_checkpoint_of_more_networks_is_refused(
    recipes: tuple[Recipe, Recipe], stores: list[FaceStore], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(recipes[0], stores, tmp_path, beside=(*recipes[1:], replace(recipes[1], name="third")),
              tracker=Memory(cut_at=6))  # fmt: skip
    with pytest.raises(CheckpointCorrupt, match="more networks"):
        run(recipes, stores, tmp_path, resume=True)


def test_what_is_said_takes_its_share_of_the_lesson() -> None:
    lesson, said = np.zeros((3, 101), np.float32), np.ones((3, 101), np.float32)
    known = np.array([[20, 20, 1], [20, 29, 1], [25, 80, 1]], np.float32)
    labels = np.concatenate([known, lesson], axis=1)
    blend_consensus(labels, said, 0.6, halves=1)
    np.testing.assert_allclose(labels[:, LABELS], [0.6, 0.6, 0.3])
    np.testing.assert_array_equal(labels[:, :LABELS], known)


def test_of_a_blend_it_holds_for_both_faces() -> None:
    half = np.concatenate([np.array([[20, 20, 1]], np.float32), np.zeros((1, 202), np.float32)], axis=1)
    labels = np.concatenate([half, half, np.array([[0.7]], np.float32)], axis=1)
    blend_consensus(labels, np.ones((1, 101), np.float32), 1.0, halves=2)
    assert [labels[0, LABELS : LABELS + 101].sum(), labels[0, 205 + LABELS : 205 + LABELS + 101].sum()] == [101, 101]
    assert labels.sum() == pytest.approx(202 + 2 * 41 + 0.7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "tiny"}, "names one twice"),
        ({"teacher": None}, "need one teacher"),
        ({"teacher": "itself"}, "need one teacher"),
        ({"teacher_sees": "framed"}, "need one teacher"),
        ({"teacher": "another.onnx"}, "other has teacher another.onnx"),
        ({"batch_size": 4}, "--set batch_size="),
        ({"start_share": 0.5, "weights": "imagenet"}, "start_share=0"),
        ({"stages": (Stage("one", 1, 1e-3), Stage("two", 1, 1e-3))}, "2 stages"),
    ],
)
def test_recipes_that_cannot_be_trained_together_are_refused(
    recipes: tuple[Recipe, Recipe], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidParameter, match=message):
        refuse_unlike(recipes[0], [replace(recipes[1], **changes)])


def test_a_teacher_of_features_is_refused(
    recipes: tuple[Recipe, Recipe], stores: list[FaceStore], tmp_path: Path
) -> None:
    train(tiny_recipe(epochs=1), stores, tmp_path / "teacher")
    taught = tuple(replace(recipe, teacher=str(tmp_path / "teacher")) for recipe in recipes)
    with pytest.raises(InvalidParameter, match="teaches features"):
        run(taught, stores, tmp_path / "run")  # type: ignore[arg-type]


def test_a_launched_run_remembers_what_is_trained_beside(store_path: Path, tmp_path: Path) -> None:
    teacher = write_bell_model(tmp_path, size=SIZE)
    settings = [
        "backbone=two_convolutions",
        f"teacher={teacher}",
        "stages.epochs=1",
        "batch_size=8",
        "head_options.dropout=0.0",
    ]
    settings += ["stages.trainable=all", "weights=null", "merged_with=null", "shrunk_to=null", "ramp_epochs=0.0"]
    folder = tmp_path / "run"
    result = launch(
        "dldl_mobilenet", [store_path], folder, changes={"size": SIZE}, settings=settings, beside=["dldl_imagenet"]
    )
    (beside,) = json.loads((folder / "run.json").read_text())["beside"]
    assert beside == json.loads((folder / "dldl_imagenet" / "recipe.json").read_text())
    # What the run began with counts, as it does for the first recipe.
    (folder / "dldl_imagenet" / "recipe.json").unlink()
    assert json.loads((folder / "dldl_imagenet" / "run.json").read_text())["stores"] == [str(store_path)]
    assert relaunch(folder) == result
    with pytest.raises(InvalidParameter, match="resume that run"):
        relaunch(folder / "dldl_imagenet")
    (folder / "run.json").unlink()
    with pytest.raises(InvalidParameter, match="dldl_imagenet holds a run already"):
        launch("dldl_mobilenet", [store_path], folder, settings=settings, beside=["dldl_imagenet"])
