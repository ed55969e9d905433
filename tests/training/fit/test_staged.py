"""The ancestor's three stages, from files as IMDB-WIKI and Adience publish them to the best weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.pictures import jpeg, pasted
from tests.training.datasets.test_adience import write_fold
from tests.training.datasets.test_imdb_wiki import datenum, write_mat
from tests.training.tiny_run import SIZE, Memory
from training.cli.main import app
from training.data.store import FaceStore
from training.fit.train import train
from training.recipes.recipe import recipe_named
from training.run_folder import BEST

GROUPS = ("(0, 2)", "(8, 12)", "(25, 32)", "(60, 100)")


def portraits(root: Path) -> None:
    """Put a portrait in place of each picture that the fold files and .mat files name."""
    for number, path in enumerate(sorted(root.rglob("*.jpg"))):
        path.write_bytes(jpeg(pasted(150 + 3 * number, 5 * number, number)))


def prepared(dataset: str, root: Path, out: Path, *options: str) -> FaceStore:
    portraits(root)
    command = ["prepare", dataset, str(root), "--out", str(out), "--workers", "1", "--duplicates", "keep", *options]
    done = CliRunner().invoke(app, [*command, "--size", str(SIZE), "--bleed", "4"])
    assert done.exit_code == 0, done.output
    return FaceStore.open(out)


@pytest.fixture
def stores(tmp_path: Path) -> list[FaceStore]:
    people = [{"dob": datenum(1920 + 4 * i, 1, 1), "name": f"person {i}"} for i in range(18)]
    write_mat(tmp_path / "faces/imdb_crop", "imdb", people[:12])
    write_mat(tmp_path / "faces/wiki_crop", "wiki", people[12:])
    (tmp_path / "adience").mkdir()
    for fold in range(5):
        rows = [(f"{fold}{i}@N03", "1", group, "f") for i, group in enumerate(GROUPS)]
        write_fold(tmp_path / "adience", str(fold), rows)
    folds = ("--option", "val_fold=0", "--option", "test_fold=4")
    return [
        prepared("imdb_wiki", tmp_path / "faces", tmp_path / "imdb_wiki"),
        prepared("adience", tmp_path / "adience", tmp_path / "prepared_adience", *folds),
    ]


def test_the_staged_recipe_runs_from_published_formats_to_its_best_weights(
    stores: list[FaceStore], tmp_path: Path
) -> None:
    recipe = recipe_named("coral_imdb_adience")
    stages = tuple(replace(stage, epochs=2) for stage in recipe.stages)
    small = replace(recipe, backbone="two_convolutions", size=SIZE, weights=None, batch_size=4, stages=stages)
    memory = Memory()
    result = train(small, stores, tmp_path / "run", tracker=memory)
    maes = memory.values
    assert maes["val_mae"] == [*maes["val_mae/imdb_wiki"], *maes["val_mae/adience"]]
    assert [len(maes[f"val_mae/{source}"]) for source in ("imdb_wiki", "adience")] == [4, 2]
    assert result.val_mae == min(maes["val_mae/adience"])
    assert (tmp_path / "run" / BEST).is_file()
