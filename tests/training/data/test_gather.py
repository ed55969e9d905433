"""Listing a dataset with its splits."""

from __future__ import annotations

from pathlib import Path

from training.data.gather import MOVED, gather


def test_a_picture_that_is_moved_from_the_split_it_was_given_is_noted(tmp_path: Path) -> None:
    rows = ["1.jpg,30,Ann,train", "2.jpg,31,Ann,test", "3.jpg,32,Bob,val", "4.jpg,33,Ann,"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,age,subject,split", *rows]))
    for number in range(1, 5):
        (tmp_path / f"{number}.jpg").write_bytes(b"picture")
    found = gather("own", tmp_path, duplicates="keep")
    assert [sample.split for sample in found.samples] == ["test", "test", "val", "test"]
    assert found.examples == {MOVED: ["1.jpg"]}
