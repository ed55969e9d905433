"""Trackers, read back with the tools that people use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.recipes.recipe import recipe_named
from training.revision import revision
from training.tracking.trackers import CsvTracker, TensorBoardTracker, Tracker, Trackers

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def a_short_run(tracker: Tracker) -> None:
    tracker.begin(recipe_named("smoke"), 0)
    tracker.scalars(1, {"loss": 2.5})
    tracker.scalars(2, {"loss": 1.5, "val_mae": 4.25})
    tracker.image(2, "faces", PICTURE)
    tracker.close()


def test_tensorboard_shows_metrics_pictures_recipe_and_commit(tmp_path: Path) -> None:
    a_short_run(TensorBoardTracker(tmp_path))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.5), (2, 1.5)]
    assert [(event.step, event.value) for event in events.Scalars("val_mae")] == [(2, 4.25)]
    (image,) = events.Images("faces")
    assert (image.step, image.width, image.height) == (2, 30, 20)
    texts = {
        tag: events.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0].decode()
        for tag in ("recipe", "commit")
    }
    assert '"name": "smoke"' in texts["recipe"]
    assert texts["commit"] == revision() != ""


def test_tensorboard_shows_each_step_once_after_a_kill(tmp_path: Path) -> None:
    a_short_run(TensorBoardTracker(tmp_path))
    for step, left in ((1, {2: 1.25, 3: 1.0}), (3, {4: 0.75})):
        tracker = TensorBoardTracker(tmp_path)
        tracker.begin(recipe_named("smoke"), step)
        for at, loss in left.items():
            tracker.scalars(at, {"loss": loss})
        tracker.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.5), (2, 1.25), (3, 1), (4, 0.75)]


def test_a_resumed_run_goes_on_in_its_csv_file_from_its_checkpoint(tmp_path: Path) -> None:
    path, first, again = tmp_path / "metrics.csv", {"loss": 2.5}, {"loss": 1.5, "val_mae": 4.25}
    a_short_run(CsvTracker(path))
    CsvTracker(path).scalars(3, {"loss": 1.25})
    with path.open("a") as stream:
        stream.write("4,lo")  # a killed run may leave half a line
    for step, left in ((2, [(3, {"loss": 1.0})]), (1, [(2, again), (3, {"loss": 1.0})])):
        tracker = CsvTracker(path)
        tracker.begin(recipe_named("smoke"), step)
        for at, values in [(step, again if step == 2 else first), *left]:
            tracker.scalars(at, values)
        lines = path.read_text().splitlines()
        assert lines == ["step,name,value", "1,loss,2.5", "2,loss,1.5", "2,val_mae,4.25", "3,loss,1"]


def test_several_trackers_are_told_the_same(tmp_path: Path) -> None:
    a_short_run(Trackers([CsvTracker(tmp_path / "a.csv"), CsvTracker(tmp_path / "b.csv")]))
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text() != ""


def test_weights_and_biases_keeps_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    from training.tracking.trackers import WandbTracker

    a_short_run(WandbTracker(tmp_path))
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert next(run.glob("*.wandb")).stat().st_size > 0
    (image,) = run.glob("files/media/images/faces_2_*.png")
    assert image.read_bytes().startswith(b"\x89PNG")


def test_a_run_in_another_folder_of_the_same_name_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    from training.tracking.trackers import WandbTracker

    ids = []
    for folder in (tmp_path / "a" / "own", tmp_path / "b" / "own", tmp_path / "a" / "own"):
        folder.mkdir(parents=True, exist_ok=True)
        tracker = WandbTracker(folder)
        tracker.begin(recipe_named("smoke"), 0)
        ids.append(tracker.run.id)
        tracker.close()
    assert ids[0] == ids[2] != ids[1]


def test_the_recipe_that_is_tracked_is_whole() -> None:
    assert json.loads(recipe_named("smoke").to_json())["augmentation"]["jpeg_share"] == 0.0
