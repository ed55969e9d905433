"""Short runs that differ in one thing, through the commands they name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidParameter
from training.data.store import FaceStore
from training.data.synthetic import synthetic_store
from training.fit.ablation import ROWS, ablate, by_difference, rows_for
from training.fit.validation import WornFaces
from training.recipes.overrides import overridden
from training.recipes.recipe import recipe_named

ROOT = Path(__file__).parents[3]


def test_a_row_is_run_once_and_noted_with_its_errors_and_its_command(tmp_path: Path) -> None:
    store, out, shipped = tmp_path / "store", tmp_path / "table.json", str(ROOT / "models" / "coral-mobilenet.onnx")
    synthetic_store(store, 40, size=48)
    written = []
    for _ in range(2):
        ablate("smoke", [store], shipped, 0.01, tmp_path / "runs", out, ["soft-labels"], settings=["ema_decay=0.5"])
        written.append((tmp_path / "runs" / "soft-labels" / "best.weights.h5").stat().st_mtime_ns)
    (row,) = json.loads(out.read_text())
    assert written[0] == written[1]
    assert row["name"] == "soft-labels"
    for error in ("val_mae", "worn_mae"):
        assert 0 < row[f"{error}_low"] < row[error] < row[f"{error}_high"]
    assert row["worn_mae"] != row["val_mae"]
    assert row["command"] == (
        f"agelens-train train smoke --store {store} --size 48 --set ema_decay=0.5 --weights {shipped} --head dldl "
        "--set head_options.dropout=0 --max-minutes 0.01"
    )


def test_one_store_alone_is_measured_on_the_other_too(tmp_path: Path) -> None:
    stores, out = [tmp_path / "first", tmp_path / "second"], tmp_path / "table.json"
    for store in stores:
        synthetic_store(store, 40, size=48, source=store.name)
    ablate("smoke", stores, None, 0.01, tmp_path / "runs", out, ["only-second"])
    (row,) = json.loads(out.read_text())
    assert f"--store {stores[1]} --size" in row["command"]
    assert str(stores[0]) not in row["command"]
    assert list(row["by_source"]) == ["first", "second"]


def test_every_rows_settings_fit_the_recipe() -> None:
    for row in ROWS:
        settings = [value for flag, value in zip(row.arguments, row.arguments[1:], strict=False) if flag == "--set"]
        assert row.name == "recipe" or row.arguments
        overridden(recipe_named("coral_mobilenet"), settings)


def test_a_face_is_worn_alike_for_every_row_and_unlike_its_neighbours(tmp_path: Path) -> None:
    faces = FaceStore.open(synthetic_store(tmp_path / "store", 40, size=48)).select("train")
    clean, worn = (seen.faces(np.arange(8), 48) for seen in (faces, WornFaces(faces.parts)))
    again = WornFaces(faces.parts).faces(np.array([5, 2]), 48)
    assert (again == worn[[5, 2]]).all()
    assert (worn != clean).any(axis=(1, 2, 3)).sum() > 5
    ((store, rows),) = faces.parts
    twice = WornFaces(((store, (rows[0], rows[0])),)).faces(np.arange(2), 48)
    assert (twice[0] == worn[0]).all()
    assert (twice[0] != twice[1]).any()


def test_each_piece_of_coral_imdbwiki_can_be_left_out() -> None:
    recipe, rows = recipe_named("coral_imdbwiki"), {row.name: row for row in ROWS}
    for name in ("unmerged", "untaught", "unworn", "as-they-come", "published"):
        assert not rows[name].changes_nothing(recipe), name
    assert rows["rare-ages"].changes_nothing(recipe)
    assert not any(rows[name].changes_nothing(recipe) for name in ("recipe", "seed", "third-seed"))


def test_a_row_that_would_change_nothing_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_store(tmp_path / "store", 40, size=48)
    out = tmp_path / "table.json"
    ablate("smoke", [tmp_path / "store"], None, 0.01, tmp_path / "runs", out, ["untaught"])
    assert "untaught is left out: that is how smoke is" in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_row_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"no row is called nosuch; there are recipe, seed"):
        ablate("smoke", [], None, 1, tmp_path, tmp_path / "table.json", ["nosuch"])


def test_the_same_faces_cut_otherwise_are_a_row_of_their_own(tmp_path: Path) -> None:
    synthetic_store(tmp_path / "usual", 40, size=48)
    synthetic_store(tmp_path / "larger", 40, size=64)
    out, others = tmp_path / "table.json", by_difference([f"64 pixels={tmp_path / 'larger'}"])
    ablate("smoke", [tmp_path / "usual"], None, 0.01, tmp_path / "runs", out, ["64-pixels"], others=others)
    (row,) = json.loads(out.read_text())
    assert row["what"] == "64 pixels"
    assert f"--store {tmp_path / 'larger'} --size 64" in row["command"]
    assert str(tmp_path / "usual") not in row["command"]


def test_a_row_learns_from_a_trained_network_where_one_is_named() -> None:
    taught = rows_for([], teacher="runs/first")[-3:]
    assert {row.arguments[:2] for row in taught} == {("--teacher", "runs/first")}
    assert [row.arguments[-1] for row in taught] == [f"teacher_sees={sees}" for sees in ("clean", "batches", "framed")]
    assert not {"taught", "taught-batches"} & {row.name for row in rows_for([])}


@pytest.mark.parametrize("pair", ["160 pixels", "=store", "160 pixels="])
def test_a_difference_without_its_store_says_what_would_be_right(pair: str) -> None:
    with pytest.raises(InvalidParameter, match=r"--other takes WHAT=STORE, as '160 pixels=stores/utkface160', got"):
        by_difference([pair])
