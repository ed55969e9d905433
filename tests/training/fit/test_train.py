"""Training a real small network: it learns, keeps its best, goes on where it was cut, and ends clearly."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from service.errors import InvalidParameter
from tests.training.tiny_run import Memory, tiny_recipe
from training.data.augment import Augmentation
from training.data.store import FaceStore
from training.data.synthetic import synthetic_store
from training.errors import CheckpointCorrupt, LossNotFinite, NothingToTrain
from training.fit import stage as stage_module
from training.fit.checkpoint import Checkpoint
from training.fit.launch import launch, relaunch
from training.fit.train import TrainResult, select, train
from training.fit.weight_average import read
from training.measures.validation import Scores, score
from training.model.initialise import merged_run, new_model, trained_model
from training.recipes.recipe import Stage, recipe_named
from training.run_folder import BEST, CHECKPOINT, UNBLENDED
from training.weights.folded import fold_batch_norm


@pytest.fixture
def stores(store_path: Path) -> list[FaceStore]:
    return [FaceStore.open(store_path)]


def test_a_network_learns_and_its_best_weights_reproduce_the_reported_error(
    stores: list[FaceStore], tmp_path: Path
) -> None:
    memory = Memory()
    result = train(tiny_recipe(epochs=25), stores, tmp_path, tracker=memory)
    maes = memory.values["val_mae"]
    assert result.val_mae == min(maes) < 0.75 * maes[0]
    assert result.warning is None
    model, recipe = trained_model(tmp_path)
    faces = select(recipe, stores, "val")
    scores = score(lambda batch: read([model.head.pmf(model(batch))])[0], faces, recipe.size, 8)
    assert scores.mae == pytest.approx(result.val_mae, abs=0.01)


def test_a_network_that_answers_all_faces_alike_is_warned_of(stores: list[FaceStore], tmp_path: Path) -> None:
    stage = Stage("all", 1, learning_rate=0.0, final_learning_rate=0.0)
    result = train(tiny_recipe(stages=(stage,), ema_decay=0.0), stores, tmp_path)
    assert "nearly the same age to every face" in (result.warning or "")
    assert train(tiny_recipe(stages=(stage,), ema_decay=0.0), stores, tmp_path, resume=True).warning == result.warning


def test_layers_before_the_one_that_a_stage_names_stay_as_they_are(stores: list[FaceStore], tmp_path: Path) -> None:
    stage = Stage("upper", 1, learning_rate=1e-2, trainable="convolution_16", warmup_steps=0)
    recipe = tiny_recipe(stages=(stage,), ema_decay=0.0)
    keras.utils.set_random_seed(recipe.seed)
    before = new_model(recipe, select(recipe, stores, "train"))
    train(recipe, stores, tmp_path)
    after, _ = trained_model(tmp_path)
    moved = {
        layer.name: any(np.abs(a - b).max() > 0 for a, b in zip(layer.get_weights(), other.get_weights(), strict=True))
        for layer, other in zip(before.backbone.layers, after.backbone.layers, strict=True)
        if layer.weights
    }
    assert moved == {"convolution_8": False, "norm_8": False, "convolution_16": True, "norm_16": True}


def test_a_stage_that_names_no_layer_is_refused(stores: list[FaceStore], tmp_path: Path) -> None:
    stage = Stage("upper", 1, learning_rate=1e-2, trainable="convolution_17")
    with pytest.raises(InvalidParameter, match=r"no layer 'convolution_17'.*convolution_16"):
        train(tiny_recipe(stages=(stage,)), stores, tmp_path)


def test_a_tracker_hears_of_every_step_epoch_and_picture(stores: list[FaceStore], tmp_path: Path) -> None:
    memory = Memory()
    train(tiny_recipe(epochs=2), stores, tmp_path, tracker=memory)
    assert {name: len(values) for name, values in memory.values.items()} == {
        "loss": 16, "learning_rate": 16, "val_mae": 2, "val_mae/synthetic": 2
    }  # fmt: skip
    names = ("faces", "worst_errors", "age_error", "reliability")
    assert memory.images == [(step, name, 3) for step in (8, 16) for name in names]


def test_a_frozen_backbone_stays_and_thaws_in_the_next_stage(stores: list[FaceStore], tmp_path: Path) -> None:
    head = Stage("head", 1, 1e-2, trainable="head", warmup_steps=0)
    recipe = tiny_recipe(stages=(head,))
    train(recipe, stores, tmp_path / "head")
    train(replace(recipe, stages=(head, Stage("all", 1, 1e-2, warmup_steps=0))), stores, tmp_path / "both")
    start, both = (trained_model(tmp_path / run)[0] for run in ("head", "both"))
    kernels = [read(model.backbone.trainable_variables)[0] for model in (start, both)]
    assert (kernels[0] != kernels[1]).any()
    assert (read([start.backbone.layers[3].moving_mean])[0] == 0).all()


def test_a_stage_may_change_faces_in_its_own_way(stores: list[FaceStore], tmp_path: Path) -> None:
    mild, losses = tiny_recipe(epochs=1), []
    for name, recipe in (
        ("mild", mild),
        ("strong", replace(mild, augmentation=Augmentation())),
        (
            "last",
            replace(
                mild, augmentation=Augmentation(), stages=(replace(mild.stages[0], augmentation=mild.augmentation),)
            ),
        ),
    ):
        memory = Memory()
        train(recipe, stores, tmp_path / name, tracker=memory)
        losses.append(memory.values["loss"])
    assert losses[0] == losses[2] != losses[1]


def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_happened(stores: list[FaceStore], tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=3)
    undisturbed = train(recipe, stores, tmp_path / "undisturbed")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, stores, tmp_path / "cut", tracker=Memory(cut_at=14))
    assert Checkpoint.load(tmp_path / "cut").progress.total_steps == 12
    memory = Memory()
    resumed = train(recipe, stores, tmp_path / "cut", resume=True, tracker=memory)
    assert len(memory.values["loss"]) == 12
    assert resumed.val_mae == pytest.approx(undisturbed.val_mae, abs=0.05)


def test_resuming_a_finished_run_trains_no_further(stores: list[FaceStore], tmp_path: Path) -> None:
    first = train(tiny_recipe(), stores, tmp_path)
    memory = Memory()
    assert train(tiny_recipe(), stores, tmp_path, resume=True, tracker=memory) == first
    assert "loss" not in memory.values


def test_a_run_resumed_in_its_second_stage_has_that_stages_optimiser(stores: list[FaceStore], tmp_path: Path) -> None:
    stages = (Stage("head", 1, 1e-2, trainable="head"), Stage("all", 2, 1e-2))
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(stages=stages), stores, tmp_path, tracker=Memory(cut_at=13))
    result = train(tiny_recipe(stages=stages), stores, tmp_path, resume=True)
    assert result.steps == 24


@pytest.mark.parametrize("max_minutes", [None, 600.0])
def test_a_run_that_was_cut_off_in_its_validation_resumes_with_it(
    stores: list[FaceStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_minutes: float | None
) -> None:
    recipe = replace(tiny_recipe(epochs=1), checkpoint_steps=1)
    with monkeypatch.context() as cut:
        cut.setattr(stage_module, "score", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, stores, tmp_path)
    steps = Checkpoint.load(tmp_path).progress.total_steps
    assert not (tmp_path / BEST).exists()
    # All steps are done, or the time is over: what is missing is the validation.
    memory = Memory()
    result = train(recipe, stores, tmp_path, resume=True, tracker=memory, max_minutes=max_minutes and 1e-9)
    assert (result.steps, len(memory.values["val_mae"]), "loss" in memory.values) == (steps, 1, False)
    assert (tmp_path / BEST).exists()


def cut_off(*_: object) -> Scores:
    raise KeyboardInterrupt


def test_a_loss_that_is_not_a_number_ends_the_run_with_its_checkpoint(stores: list[FaceStore], tmp_path: Path) -> None:
    recipe = tiny_recipe(head="dldl", stages=(Stage("all", 4, 1e36, final_learning_rate=1e36, warmup_steps=6),))
    with pytest.raises(LossNotFinite, match=r"step \d+ at a learning rate"):
        train(replace(recipe, checkpoint_steps=1, clip_norm=0.0), stores, tmp_path)
    saved = Checkpoint.load(tmp_path)
    assert saved.progress.total_steps >= 1


def test_a_checkpoint_of_another_recipe_is_refused(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1), stores, tmp_path)
    with pytest.raises(CheckpointCorrupt, match="another recipe"):
        train(tiny_recipe(epochs=2), stores, tmp_path, resume=True)


def test_a_corrupt_checkpoint_ends_the_run_and_leaves_the_best_weights(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1), stores, tmp_path)
    best = (tmp_path / BEST).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(b"PK")
    with pytest.raises(CheckpointCorrupt, match="rename"):
        train(tiny_recipe(epochs=1), stores, tmp_path, resume=True)
    assert (tmp_path / BEST).read_bytes() == best


def test_a_stage_without_progress_ends_after_its_patience(stores: list[FaceStore], tmp_path: Path) -> None:
    stage = Stage("all", 9, learning_rate=0.0, final_learning_rate=0.0, patience=2)
    assert train(tiny_recipe(stages=(stage,), ema_decay=0.0), stores, tmp_path).steps < 9 * 8


def test_a_budget_ends_the_run_early_with_weights(stores: list[FaceStore], tmp_path: Path) -> None:
    result = train(tiny_recipe(epochs=10_000), stores, tmp_path, max_minutes=0.001)
    assert result.steps < 10_000 * 8
    assert (tmp_path / BEST).is_file()


def test_a_split_without_faces_is_named(stores: list[FaceStore], tmp_path: Path) -> None:
    recipe = tiny_recipe(stages=(Stage("all", 1, 1e-3, sources=("imdb_wiki",)),))
    with pytest.raises(NothingToTrain, match=r"imdb_wiki.*are: synthetic\. Give faces the split train .*labels\.csv"):
        train(recipe, stores, tmp_path)


def test_faces_cut_for_another_size_are_refused(stores: list[FaceStore], tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"cut for 32 px, tiny takes 64 px.*--size 64"):
        train(tiny_recipe(size=64), stores, tmp_path)


def test_faces_cut_with_another_margin_are_refused(stores: list[FaceStore], tmp_path: Path) -> None:
    wider, surer = (
        replace(stores[0], crop=stores[0].crop.model_copy(update=update))
        for update in ({"margin": 0.2}, {"detector_threshold": 0.9, "exposure": "stretched"})
    )
    with pytest.raises(InvalidParameter, match=r"a margin of 0\.2, those of synthetic with 0\.1"):
        train(tiny_recipe(epochs=1), [*stores, wider], tmp_path)
    assert surer.cut_as(stores[0].crop)


@pytest.mark.parametrize(
    ("head", "options"), [("mean_variance", {}), ("dldl", {}), ("coral", {"ages": True, "dropout": 0.0})]
)
def test_every_family_trains(stores: list[FaceStore], tmp_path: Path, head: str, options: dict[str, Any]) -> None:
    memory = Memory()
    recipe = tiny_recipe(epochs=6, head=head, head_options=options, ramp_epochs=0.0)
    train(recipe, stores, tmp_path, tracker=memory)
    assert np.mean(memory.values["loss"][-8:]) < np.mean(memory.values["loss"][:8])


def test_a_run_starts_from_an_earlier_one(stores: list[FaceStore], tmp_path: Path) -> None:
    before = train(tiny_recipe(epochs=15), stores, tmp_path / "first")
    still = Stage("all", 1, learning_rate=0.0, final_learning_rate=0.0)
    recipe = tiny_recipe(stages=(still,), weights=str(tmp_path / "first"), batch_norm_momentum=1.0)
    assert train(recipe, stores, tmp_path / "second").val_mae == pytest.approx(before.val_mae, abs=0.01)


def test_a_run_that_begins_with_weights_says_their_error_before_the_first_step(
    stores: list[FaceStore], tmp_path: Path
) -> None:
    first, memory = train(tiny_recipe(epochs=2), stores, tmp_path / "first"), Memory()
    recipe = tiny_recipe(epochs=3, weights=str(tmp_path / "first"))
    second = train(recipe, stores, tmp_path / "second", tracker=memory)
    assert first.start_mae == np.inf
    assert second.start_mae == pytest.approx(first.val_mae, abs=0.01)
    assert memory.values["val_mae"][0] == second.start_mae
    assert second.val_mae < second.start_mae
    assert second.warning is None
    assert train(recipe, stores, tmp_path / "second", resume=True).start_mae == second.start_mae


def test_training_that_does_not_lower_the_error_is_warned_of(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=10), stores, tmp_path / "first")
    still = Stage("all", 1, learning_rate=0.0, final_learning_rate=0.0)
    recipe = tiny_recipe(stages=(still,), weights=str(tmp_path / "first"), batch_norm_momentum=1.0)
    result = train(recipe, stores, tmp_path / "second")
    assert result.val_mae == result.start_mae
    assert f"{result.start_mae:.3f} years before, {result.val_mae:.3f} after" in (result.warning or "")
    assert f"with {result.val_faces} faces, it may be chance" in (result.warning or "")


def test_a_run_may_keep_a_share_of_what_it_began_with(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=2), stores, tmp_path / "first")
    recipe = tiny_recipe(weights=str(tmp_path / "first"), start_share=0.25)
    result = train(recipe, stores, tmp_path / "second")
    first, second = (trained_model(tmp_path / run)[0] for run in ("first", "second"))
    blended = read(second.weights)
    keras.Model(second.inputs, second.outputs).load_weights(tmp_path / "second" / UNBLENDED)
    for start, end, kept in zip(read(first.weights), read(second.weights), blended, strict=True):
        np.testing.assert_allclose(kept, 0.25 * start + 0.75 * end, rtol=1e-5, atol=1e-6)
    assert any((start != end).any() for start, end in zip(read(first.weights), read(second.weights), strict=True))
    again = train(recipe, stores, tmp_path / "second", resume=True)
    assert again.val_mae == pytest.approx(result.val_mae, abs=1e-4)
    for kept, now in zip(blended, read(trained_model(tmp_path / "second")[0].weights), strict=True):
        np.testing.assert_allclose(now, kept, rtol=1e-5, atol=1e-6)


def test_a_run_that_goes_on_after_its_end_keeps_a_share_of_its_start_in_what_it_learnt_since(
    stores: list[FaceStore], tmp_path: Path
) -> None:
    train(tiny_recipe(epochs=1), stores, tmp_path / "first")
    recipe, memory = tiny_recipe(epochs=4, weights=str(tmp_path / "first"), start_share=0.25), Memory()
    short = train(recipe, stores, tmp_path / "second", max_minutes=1e-9)
    longer = train(recipe, stores, tmp_path / "second", resume=True, tracker=memory)
    assert longer.steps > short.steps
    first, second = (read(trained_model(tmp_path / run)[0].weights) for run in ("first", "second"))
    ends, _ = trained_model(tmp_path / "second")
    keras.Model(ends.inputs, ends.outputs).load_weights(tmp_path / "second" / UNBLENDED)
    for start, end, kept in zip(first, read(ends.weights), second, strict=True):
        np.testing.assert_allclose(kept, 0.25 * start + 0.75 * end, rtol=1e-5, atol=1e-6)
    scores = score(lambda batch: read([ends.head.pmf(ends(batch))])[0], select(recipe, stores, "val"), recipe.size, 8)
    assert scores.mae == pytest.approx(min(memory.values["val_mae"]), abs=0.01)


def test_a_run_of_before_a_field_came_goes_on(stores: list[FaceStore], tmp_path: Path) -> None:
    finished = train(tiny_recipe(epochs=1), stores, tmp_path)
    saved = Checkpoint.load(tmp_path)
    older = json.loads(saved.recipe)
    del older["start_share"]
    replace(saved, recipe=json.dumps(older)).save(tmp_path)
    assert train(tiny_recipe(epochs=1), stores, tmp_path, resume=True) == finished


def test_a_run_goes_on_with_larger_faces(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1), stores, tmp_path)
    earlier, _ = trained_model(tmp_path)
    larger = tiny_recipe(weights=str(tmp_path), size=48)
    model = new_model(larger, select(larger, stores, "train"))
    assert model.size == 48
    for mine, theirs in zip(model.weights, earlier.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_network_that_shrinks_its_faces_is_built_again_as_it_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = [FaceStore.open(synthetic_store(tmp_path / "store", 60, size=64, bleed=12))]
    train(tiny_recipe(epochs=1, size=64, shrunk_to=32), stores, tmp_path)
    model, _ = trained_model(tmp_path)
    assert model.get_layer("preprocessing").output.shape == (None, 32, 32, 3)
    assert "warning" not in capsys.readouterr().err
    larger = tiny_recipe(weights=str(tmp_path), size=64, shrunk_to=48)
    again = new_model(larger, select(larger, stores, "train"))
    assert again.get_layer("preprocessing").output.shape == (None, 48, 48, 3)
    np.testing.assert_array_equal(again.weights[0], model.weights[0])
    said = " ".join(capsys.readouterr().err.split())
    assert "shrank its faces to 32 pixels, tiny shrinks them to 48 pixels; --set shrunk_to=32 keeps" in said


def test_networks_that_shrink_faces_to_different_sizes_are_not_merged(tmp_path: Path) -> None:
    stores = [FaceStore.open(synthetic_store(tmp_path / "store", 60, size=64, bleed=12))]
    for name, side in (("small", 32), ("whole", None)):
        train(tiny_recipe(epochs=1, size=64, shrunk_to=side), stores, tmp_path / name)
    with pytest.raises(ValueError, match=r"shrinks faces to 32 pixels, that of .*whole to None"):
        merged_run(tmp_path / "small", tmp_path / "whole", 0.5, tmp_path / "merged")


def test_a_head_takes_over_what_fits_it_of_another_familys(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1, head="dldl"), stores, tmp_path)
    earlier, _ = trained_model(tmp_path)
    coral = tiny_recipe(weights=str(tmp_path), head_options={"dropout": 0.0, "ages": True})
    model = new_model(coral, select(coral, stores, "train"))
    mine, theirs = ({weight.path: weight for weight in each.weights} for each in (model, earlier))
    assert theirs.keys() < mine.keys()
    assert {path.split("/")[0] for path in mine.keys() - theirs.keys()} == {"head_score", "head_biases", "head_width"}
    for path, weight in theirs.items():
        np.testing.assert_array_equal(mine[path], weight)


def test_a_student_learns_from_a_trained_teacher(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=10), stores, tmp_path / "teacher")
    memory = Memory()
    recipe = tiny_recipe(epochs=6, head="mean_variance", teacher=str(tmp_path / "teacher"), ramp_epochs=0.0)
    train(recipe, stores, tmp_path / "student", tracker=memory)
    assert np.mean(memory.values["loss"][-8:]) < np.mean(memory.values["loss"][:8])
    assert trained_model(tmp_path / "student")[0].count_params() == 16 * 101 + 101 + 3 * 72 + 32 + 8 * 144 + 64


def test_mixed_precision_trains_and_saves_full_precision(stores: list[FaceStore], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1, mixed_precision=True), stores, tmp_path)
    model, _ = trained_model(tmp_path)
    assert {str(variable.dtype) for variable in model.weights} == {"float32"}


def test_a_launched_run_remembers_what_resuming_needs(store_path: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = launch("smoke", [store_path], run, changes={"backbone": "two_convolutions", "epochs": 1, "size": 32})
    assert json.loads((run / "run.json").read_text())["stores"] == [str(store_path)]
    assert relaunch(run) == result
    assert relaunch(run, max_minutes=7) == result
    assert json.loads((run / "run.json").read_text())["max_minutes"] == 7
    assert isinstance(result, TrainResult)


@pytest.mark.parametrize("change", [{"split": "val"}, {"low": "3"}])
def test_a_run_is_not_resumed_on_a_store_that_has_changed(tmp_path: Path, change: dict[str, str]) -> None:
    store, run = synthetic_store(tmp_path / "store", 100, size=32, bleed=6), tmp_path / "run"
    launch("smoke", [store], run, changes={"backbone": "two_convolutions", "epochs": 1, "size": 32})
    index = store / "index.csv"
    with index.open(newline="") as stream:
        first, *rest = csv.DictReader(stream)
    with index.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(first))
        table.writeheader()
        table.writerows([{**first, **change}, *rest])
    with pytest.raises(InvalidParameter, match=r"store has been prepared anew .*; start another run with --run"):
        relaunch(run)


def test_a_folder_whose_run_left_no_checkpoint_says_what_to_do(store_path: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"stores": [str(store_path)], "max_minutes": None}))
    recipe_named("smoke").save(tmp_path)
    said = r"no checkpoint to resume from.*rm -r .* start again without --resume"
    with pytest.raises(InvalidParameter, match=said):
        launch("smoke", [store_path], tmp_path)
    with pytest.raises(InvalidParameter, match=said):
        relaunch(tmp_path)


def test_two_runs_that_began_alike_become_one_that_is_their_mean(store_path: Path, tmp_path: Path) -> None:
    stores = [FaceStore.open(store_path)]
    recipe = replace(tiny_recipe(epochs=1), batch_norm_momentum=1.0)
    train(recipe, stores, tmp_path / "one")
    train(replace(recipe, weights=str(tmp_path / "one")), stores, tmp_path / "other")
    merged_run(tmp_path / "one", tmp_path / "other", 0.25, tmp_path / "merged")
    (one, _), (other, _), (merged, made) = (trained_model(tmp_path / name) for name in ("one", "other", "merged"))
    for model in (one, other):
        fold_batch_norm(model)
    for mine, first, second in zip(*(read(each.weights) for each in (merged, one, other)), strict=True):
        np.testing.assert_allclose(mine, 0.75 * first + 0.25 * second, rtol=1e-4, atol=1e-6)
    assert (made.weights, made.merged_with) == (str(tmp_path / "one"), str(tmp_path / "other"))
    with pytest.raises(InvalidParameter, match="other holds a run already"):
        merged_run(tmp_path / "one", tmp_path / "merged", 0.5, tmp_path / "other")


def test_runs_of_two_networks_are_not_merged(stores: list[FaceStore], tmp_path: Path) -> None:
    for backbone in ("mobilenet", "separable_resnet"):  # of the same layers and shapes
        train(tiny_recipe(epochs=1, backbone=backbone), stores, tmp_path / backbone)
    with pytest.raises(ValueError, match=r"mobilenet trained mobilenet, .* trained separable_resnet"):
        merged_run(tmp_path / "mobilenet", tmp_path / "separable_resnet", 0.25, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
