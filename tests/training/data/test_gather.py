"""Listing a dataset with its splits."""

from __future__ import annotations

from pathlib import Path

from tests.pictures import astronaut, coffee, jpeg
from training.data.gather import MOVED, gather


def test_a_picture_that_is_moved_from_the_split_it_was_given_is_noted(tmp_path: Path) -> None:
    rows = ["1.jpg,30,Ann,train", "2.jpg,31,Ann,test", "3.jpg,32,Bob,val", "4.jpg,33,Ann,"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,age,subject,split", *rows]))
    for number in range(1, 5):
        (tmp_path / f"{number}.jpg").write_bytes(b"picture")
    found = gather("own", tmp_path, duplicates="keep")
    assert [sample.split for sample in found.samples] == ["test", "test", "val", "test"]
    assert found.examples == {MOVED: ["1.jpg"]}


def test_pictures_of_one_name_in_several_folders_are_not_drawn_alike(tmp_path: Path) -> None:
    for person in range(40):
        (tmp_path / "30" / str(person)).mkdir(parents=True)
        (tmp_path / "30" / str(person) / "2019.jpg").write_bytes(b"picture")
    assert len({sample.split for sample in gather("own", tmp_path, duplicates="keep").samples}) > 1


def test_duplicates_of_one_name_in_several_folders_are_several_groups(tmp_path: Path) -> None:
    for person, picture in (("anna", jpeg(astronaut())), ("bob", jpeg(coffee()))):
        for year in (2019, 2020):
            path = tmp_path / "30" / person / f"{year}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)
    groups = [sample.group for sample in gather("own", tmp_path).samples]
    assert groups == ["alike-30/anna/2019.jpg"] * 2 + ["alike-30/bob/2019.jpg"] * 2
