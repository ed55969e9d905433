"""Published protocols, run from files in the official format to their figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.errors import InvalidParameter
from tests.pictures import jpeg, pasted
from tests.training.tiny_run import tiny_recipe
from training.data.store import FaceStore
from training.data.synthetic import synthetic_store
from training.evaluation.protocols import people_left_out, run_protocol, summarised

PEOPLE = ("001", "002", "003", "004")


def fgnet(root: Path) -> Path:
    """Write FG-NET's tree with a portrait of each person at two ages, and a picture without a face."""
    (root / "FGNET" / "images").mkdir(parents=True)
    for i, person in enumerate(PEOPLE):
        for age in (5 + i, 40 + i):
            picture = jpeg(pasted(150 + age, 5 * i, i))
            (root / "FGNET" / "images" / f"{person}A{age:02}.JPG").write_bytes(picture)
    return root


def test_each_person_of_fgnet_is_left_out_once_and_a_broken_run_goes_on(tmp_path: Path) -> None:
    root, run = fgnet(tmp_path / "fgnet"), tmp_path / "run"
    recipe = tiny_recipe(epochs=1)
    found = json.loads(run_protocol("fgnet-lopo", root, run, recipe, workers=1).read_text())
    errors = {person: json.loads((run / person / "result.json").read_text())["errors"] for person in PEOPLE}
    assert [len(each) for each in errors.values()] == [2, 2, 2, 2]
    assert found["photographs"] == 8
    assert found["mae"] == pytest.approx(sum(map(sum, errors.values())) / 8, abs=1e-3)
    (run / "003" / "result.json").unlink()
    before = {person: (run / person / "best.weights.h5").stat().st_mtime_ns for person in PEOPLE}
    assert json.loads(run_protocol("fgnet-lopo", root, run, recipe, workers=1).read_text()) == found
    after = {person: (run / person / "best.weights.h5").stat().st_mtime_ns for person in PEOPLE}
    assert {person for person in PEOPLE if after[person] != before[person]} == {"003"}
    with pytest.raises(InvalidParameter, match="begun with another recipe"):
        run_protocol("fgnet-lopo", root, run, tiny_recipe(epochs=2), workers=1)


def test_nobody_who_is_left_out_is_learnt_from(tmp_path: Path) -> None:
    store = FaceStore.open(synthetic_store(tmp_path / "drawn", 60, size=32, bleed=6))
    rows = tuple({**row, "subject": f"{i % 12:03}"} for i, row in enumerate(store.rows))
    folds = people_left_out(FaceStore(store.source, store.faces, rows, store.crop, store.bleed))
    assert len(folds) == 12
    for person, fold in folds.items():
        people = {split: {row["subject"] for row in fold.select(split).rows} for split in ("train", "val", "calib")}
        assert {row["subject"] for row in fold.select("test").rows} == {person}
        assert sum(len(each) for each in people.values()) == 11
        assert person not in set.union(*people.values())
        assert all(people.values())


def test_the_figure_is_over_photographs_and_over_people() -> None:
    found = summarised({"001": [1.0, 1.0, 1.0], "002": [9.0]})
    assert (found["mae"], found["mae_mean_of_folds"], found["cs5"]) == (3.0, 5.0, 0.75)
    assert found["mae_by_fold"] == {"001": 1.0, "002": 9.0}


def test_an_unknown_protocol_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"no protocol 'morph'; choose one of fgnet-lopo, utkface-21-60"):
        run_protocol("morph", tmp_path, tmp_path, tiny_recipe())
