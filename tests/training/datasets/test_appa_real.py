"""APPA-REAL from its three lists and, where they are there, the categories."""

from pathlib import Path

import pytest

from training.datasets import DatasetError, Sample, read

RELEASE = "appa-real-release"


def write_list(root: Path, split: str, rows: list[str], *, pictures: bool = True) -> None:
    folder = root / RELEASE
    (folder / split).mkdir(parents=True, exist_ok=True)
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age"
    (folder / f"gt_avg_{split}.csv").write_text("\n".join([header, *rows]) + "\n")
    for row in rows if pictures else []:
        name = row.split(",")[0]
        (folder / split / name).write_bytes(b"photo")
        (folder / split / f"{name}_face.jpg").write_bytes(b"crop")


def write_release(root: Path) -> Path:
    write_list(root, "train", ["000000.jpg,10,4.5,1.2,5"])
    write_list(root, "valid", ["004113.jpg,38,29.49,2.1,31"])
    write_list(root, "test", ["005613.jpg,38,70.0,2.1,90"])
    categories = "file,gender,race,makeup,time,happiness\n000000.jpg,female,Caucasian,nomakeup,modernphoto,happy\n"
    (root / RELEASE / "allcategories_train.csv").write_text(categories)
    return root


def test_real_ages_with_official_splits_and_categories(tmp_path: Path) -> None:
    assert read("appa_real", write_release(tmp_path)).samples == [
        Sample(f"{RELEASE}/train/000000.jpg_face.jpg", 5, 5, sex="female", race="caucasian", split="train"),
        Sample(f"{RELEASE}/valid/004113.jpg_face.jpg", 31, 31, split="val"),
        Sample(f"{RELEASE}/test/005613.jpg_face.jpg", 90, 90, split="test"),
    ]


def test_apparent_ages_are_rounded_halves_upwards(tmp_path: Path) -> None:
    found = read("appa_real", write_release(tmp_path), age="apparent")
    assert [sample.low for sample in found.samples] == [5, 29, 70]


def test_the_whole_photograph_is_an_option(tmp_path: Path) -> None:
    found = read("appa_real", write_release(tmp_path), picture="photo")
    assert found.open(found.samples[0].path) == b"photo"


def test_odd_rows_are_counted_by_reason(tmp_path: Path) -> None:
    rows = ["a.jpg,1,5,1,5", "a.jpg,1,5,1,6", "b.jpg,1,5,1,", "c.jpg,1,5,1,101", "d.jpg,1", "e.jpg,1,5,1,nan"]
    write_list(tmp_path, "train", rows)
    found = read("appa_real", tmp_path)
    assert [sample.low for sample in found.samples] == [5]
    assert found.rejected == {
        "age is not a number within 0..100": 4,
        "in a list, but there is no such picture": 1,
    }


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    write_list(tmp_path, "test", ["005613.jpg,38,70.0,2.1,90"], pictures=False)
    found = read("appa_real", tmp_path)
    assert found.examples == {"in a list, but there is no such picture": [f"{RELEASE}/test/005613.jpg_face.jpg"]}


def test_without_lists_the_error_names_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gt_avg_train\.csv"):
        read("appa_real", tmp_path)
