"""The recipes of the earlier projects, run through all their stages on a few drawn faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tiny_run import Memory
from training.data.store import FaceStore
from training.datasets.adience import GROUPS
from training.fit.train import train
from training.recipes.recipe import Recipe, recipe_named


def brief(name: str) -> Recipe:
    """Return a recipe with its stages, losses and sources, but one epoch each, small faces and random weights."""
    recipe = recipe_named(name)
    stages = tuple(replace(stage, epochs=1, warmup_steps=1) for stage in recipe.stages)
    return replace(recipe, stages=stages, size=32, batch_size=8, weights=None, faces_per_set=16, ema_decay=0.0)


def as_source(store: FaceStore, source: str) -> FaceStore:
    """Return the drawn faces under a dataset's name; Adience's are labelled with the group that holds their age."""
    rows = [{**row, "source": source} for row in store.rows]
    if source == "adience":
        rows = [
            {**row, "low": str(low), "high": str(high)}
            for row in rows
            for low, high in GROUPS
            if low <= int(row["low"]) <= high
        ]
    return replace(store, source=source, rows=tuple(rows))


def test_corals_ancestor_trains_its_head_then_imdb_wiki_then_the_groups_of_adience(
    store_path: Path, tmp_path: Path
) -> None:
    store, memory = FaceStore.open(store_path), Memory()
    stores = [as_source(store, "imdb_wiki"), as_source(store, "adience")]
    result = train(brief("coral_imdb_adience"), stores, tmp_path, tracker=memory)
    assert result.steps == 3 * 2
    assert len(memory.values["val_mae/imdb_wiki"]) == 2
    assert memory.values["val_mae/adience"] == [pytest.approx(result.val_mae)]


def test_mean_variances_ancestor_trains_its_head_then_all_of_resnet34_on_both_sets(
    store_path: Path, tmp_path: Path
) -> None:
    store, memory = FaceStore.open(store_path), Memory()
    stores = [as_source(store, "fgnet"), as_source(store, "all_age_faces")]
    result = train(brief("mean_variance_fgnet_aaf"), stores, tmp_path, tracker=memory)
    assert result.steps == 2 * 2
    assert len(memory.values["val_mae/fgnet"]) == len(memory.values["val_mae/all_age_faces"]) == 2
    assert result.val_mae == pytest.approx(memory.values["val_mae"][-1])
