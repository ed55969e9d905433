"""Short runs that differ in one thing, through the commands they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import AgelensError, InvalidParameter
from training.ablation.ablate import BEGUN, ENDED, ROWS, ablate, by_difference, rows_for
from training.ablation.comparison import KEPT
from training.data.store import FaceStore
from training.data.synthetic import synthetic_store
from training.measures.validation import WornFaces
from training.recipes.overrides import overridden
from training.recipes.recipe import recipe_named, recipe_names
from training.run_folder import BEST, CHECKPOINT

ROOT = Path(__file__).parents[3]


def test_a_row_is_run_once_with_each_seed_and_compared_with_the_recipe(tmp_path: Path) -> None:
    stores, out = [tmp_path / "store", tmp_path / "more"], tmp_path / "table.json"
    shipped = str(ROOT / "models" / "coral-mobilenet.onnx")
    for store in stores:
        synthetic_store(store, 40, size=48)
    runs, written = tmp_path / "runs", []
    for names in (["recipe", "soft-labels"], ["soft-labels"]):
        ablate("smoke", stores, shipped, 0.01, runs, out, names, settings=["ema_decay=0.5"], seeds=2)
        written.append([(runs / "soft-labels-1" / name).stat().st_mtime_ns for name in (BEST, KEPT)])
    recipe, row = json.loads(out.read_text())
    assert written[0] == written[1]
    assert row["name"] == "soft-labels"
    assert row["sources"] == ["synthetic"]
    assert "more" not in recipe["figures"]["clean"]
    for name in ("clean", "worn", "synthetic"):
        found, apart = row["figures"][name], row["figures"][name]["mean"] - recipe["figures"][name]["mean"]
        assert found["low"] < found["mean"] < found["high"]
        assert len(set(found["trainings"])) == 2
        assert found["more"]["mean"] == pytest.approx(apart, abs=0.002)
    assert row["figures"]["worn"] != row["figures"]["clean"]
    assert row["commands"] == [
        f"agelens-train train smoke --store {stores[0]} --store {stores[1]} --size 48 --set ema_decay=0.5 "
        f"--weights {shipped} --head dldl --set head_options.dropout=0 --max-minutes 0.01 --set seed={seed}"
        for seed in (1, 2)
    ]


@pytest.mark.parametrize("file", [ENDED, BEGUN])
def test_a_training_by_another_command_is_not_taken_for_this_one(tmp_path: Path, file: str) -> None:
    synthetic_store(tmp_path / "store", 40, size=48)
    run = tmp_path / "runs" / "recipe-1"
    run.mkdir(parents=True)
    (run / CHECKPOINT).touch()
    (run / file).write_text("agelens-train train smoke --set ema_decay=0.1\n")
    with pytest.raises(AgelensError, match=r"trained by another command, .*ema_decay=0.1; name another folder"):
        ablate("smoke", [tmp_path / "store"], None, 0.01, run.parent, tmp_path / "table.json", ["recipe"])


def test_a_training_that_was_cut_off_goes_on_by_its_own_command_alone(tmp_path: Path) -> None:
    synthetic_store(tmp_path / "store", 40, size=48)
    runs, out = tmp_path / "runs", tmp_path / "table.json"

    def asked(minutes: float) -> None:
        ablate("smoke", [tmp_path / "store"], None, minutes, runs, out, ["recipe"])

    asked(0.01)
    (runs / "recipe-1" / ENDED).unlink()
    out.unlink()
    with pytest.raises(AgelensError, match=r"by another command, .*--max-minutes 0\.01 .*; name another folder"):
        asked(0.02)
    asked(0.01)
    assert "--max-minutes 0.01" in (runs / "recipe-1" / ENDED).read_text()
    (runs / "recipe-1" / ENDED).unlink()
    (runs / "recipe-1" / BEGUN).unlink()
    with pytest.raises(AgelensError, match=r"which is not known, as .*begun is missing; name another folder"):
        asked(0.01)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"recipe": "own_faces"}, "recipe smoke, not own_faces"),
        ({"stores": [Path("elsewhere")]}, r"stores \['.*usual'\], not \['.*elsewhere'\]"),
        ({"teacher": "runs/first"}, "teacher None, not runs/first"),
        ({"seeds": 3}, "seeds 1, not 3"),
        ({"minutes": 2}, "minutes 1, not 2"),
        ({"settings": ["ema_decay=0.5"]}, r"settings \[\], not \['ema_decay=0.5'\]"),
    ],
)
def test_rows_of_other_terms_do_not_stand_beside_one_another(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    out = tmp_path / "table.json"
    terms: dict[str, Any] = {"recipe": "smoke", "stores": [str(Path("usual").resolve())], "teacher": None}
    terms |= {"weights": None, "minutes": 1, "settings": [], "seeds": 1}
    out.write_text(json.dumps([{"name": "recipe", "figures": {}, "terms": terms}]))
    asked = {"recipe": "smoke", "stores": [Path("usual")], "minutes": 1, **other}
    with pytest.raises(InvalidParameter, match=f"table.json has rows with {message}; name another file"):
        ablate(weights=None, folder=tmp_path / "runs", out=out, **asked)


@pytest.mark.parametrize(
    "before",
    [
        '[{"name": "clean", "val_mae": 5.0}]',
        '[{"name": "clean", "figures": {}}]',
        '{"figures": 1}',
        "[3]",
        "name,mae\n",
    ],
)
def test_a_file_that_is_no_such_table_is_left_as_it_is(tmp_path: Path, before: str) -> None:
    out = tmp_path / "table.json"
    out.write_text(before)
    with pytest.raises(InvalidParameter, match=r"table\.json is not a table .*; name another file with --out"):
        ablate("smoke", [], None, 0.01, tmp_path / "runs", out)
    assert out.read_text() == before
    assert not (tmp_path / "runs").exists()


def test_one_store_alone_is_measured_on_the_other_too(tmp_path: Path) -> None:
    stores, out = [tmp_path / "first", tmp_path / "second"], tmp_path / "table.json"
    for store in stores:
        synthetic_store(store, 40, size=48, source=store.name)
    ablate("smoke", stores, None, 0.01, tmp_path / "runs", out, ["only-second"])
    (row,) = json.loads(out.read_text())
    assert f"--store {stores[1]} --size" in row["commands"][0]
    assert str(stores[0]) not in row["commands"][0]
    assert row["sources"] == ["first", "second"]
    assert {"first", "second"} <= set(row["figures"])


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
    for name in ("vggface2", "unmerged", "untaught", "unworn", "as-they-come", "published"):
        assert not rows[name].changes_nothing(recipe), name
    assert rows["rare-ages"].changes_nothing(recipe)
    assert not rows["recipe"].changes_nothing(recipe)
    assert rows["vggface2"].changes_nothing(recipe_named("coral_mobilenet"))


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_row_of_augmentation_sets_that_of_every_stage(recipe: str) -> None:
    base = recipe_named(recipe)
    for row in (each for each in ROWS if any("augmentation." in word for word in each.arguments)):
        settings = row.arguments[1::2]
        changed = overridden(base, settings)
        learnt_with = [stage.augmentation or changed.augmentation for stage in changed.stages]
        was = [stage.augmentation or base.augmentation for stage in base.stages]
        assert row.changes_nothing(base) == (learnt_with == was), row.name
        for name, value in (each.removeprefix("augmentation.").split("=") for each in settings):
            assert [getattr(augmentation, name) for augmentation in learnt_with] == [float(value)] * len(was)


@pytest.mark.parametrize(("recipe", "row"), [("dldl_imagenet", "imagenet"), ("mean_variance_resnet", "mean-variance")])
def test_a_row_whose_network_or_head_the_recipe_has_changes_nothing(recipe: str, row: str) -> None:
    (found,) = [each for each in ROWS if each.name == row]
    assert found.changes_nothing(recipe_named(recipe))
    assert not found.changes_nothing(recipe_named("coral_mobilenet"))


def test_two_stores_of_one_data_set_are_left_out_together(tmp_path: Path) -> None:
    stores = [
        FaceStore.open(synthetic_store(tmp_path / name, 4, size=48, source=name[0])) for name in ("a1", "a2", "b1")
    ]
    assert [row.name for row in rows_for(stores)[-2:]] == ["only-a", "only-b"]
    assert rows_for(stores[:2]) == ROWS


def test_a_row_that_would_change_nothing_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_store(tmp_path / "store", 40, size=48)
    out = tmp_path / "table.json"
    ablate("smoke", [tmp_path / "store"], None, 0.01, tmp_path / "runs", out, ["untaught"])
    assert "untaught is left out: that is how smoke is" in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_row_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"no row is called nosuch; there are recipe, vggface2"):
        ablate("smoke", [], None, 1, tmp_path, tmp_path / "table.json", ["nosuch"])


def test_the_same_faces_cut_otherwise_are_a_row_of_their_own(tmp_path: Path) -> None:
    synthetic_store(tmp_path / "usual", 40, size=48)
    synthetic_store(tmp_path / "larger", 40, size=64)
    out, others = tmp_path / "table.json", by_difference([f"64 pixels={tmp_path / 'larger'}"])
    ablate("smoke", [tmp_path / "usual"], None, 0.01, tmp_path / "runs", out, ["64-pixels"], others=others)
    (row,) = json.loads(out.read_text())
    assert row["what"] == "64 pixels"
    assert f"--store {tmp_path / 'larger'} --size 64" in row["commands"][0]
    assert str(tmp_path / "usual") not in row["commands"][0]


def test_a_row_learns_from_a_trained_network_where_one_is_named() -> None:
    taught = rows_for([], teacher="runs/first")[-3:]
    assert {row.arguments[:2] for row in taught} == {("--teacher", "runs/first")}
    assert [row.arguments[-1] for row in taught] == [f"teacher_sees={sees}" for sees in ("clean", "batches", "framed")]
    assert not {"taught", "taught-batches"} & {row.name for row in rows_for([])}


@pytest.mark.parametrize("pair", ["160 pixels", "=store", "160 pixels="])
def test_a_difference_without_its_store_says_what_would_be_right(pair: str) -> None:
    with pytest.raises(InvalidParameter, match=r"--other takes WHAT=STORE, as '160 pixels=stores/utkface160', got"):
        by_difference([pair])
