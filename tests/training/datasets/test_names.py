"""Sets whose labels are in the files' names: UTKFace, All-Age-Faces, FG-NET."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from training.datasets import DatasetError, Listing, Sample, read
from training.datasets.fgnet import leave_one_out
from training.datasets.utkface import parse_name


def listing(name: str, root: Path, files: list[str], **options: Any) -> Listing:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"picture")
    return read(name, root, **options)


@pytest.mark.parametrize(
    ("name", "age", "sex", "race"),
    [
        ("26_1_2_20170116184024662.jpg.chip.jpg", 26, "female", "asian"),
        ("100_0_0_20170112213500903.jpg", 100, "male", "white"),
        ("39_1_20170116174525125.jpg.chip.jpg", 39, "female", None),
        ("61_1_20170109142408075.jpg.chip.jpg", 61, "female", None),
        ("61_1_20170109150557335.jpg.chip.jpg", 61, "female", None),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", 24, "male", "black"),
        ("55_0_0_20170116232725357jpg.chip.jpg", 55, "male", "white"),
        ("14_0_0_2017011022340900.jpg.chip.jpg", 14, "male", "white"),
        ("28_1_2_201701161846515488.jpg.chip.jpg", 28, "female", "asian"),
        ("38_0_1_201701162330572788.jpg.chip.jpg", 38, "male", "black"),
        ("116_1_4_20170112213001988.jpg.chip.jpg", 100, "female", "other"),
    ],
)
def test_utkface_names_regular_and_irregular(name: str, age: int, sex: str, race: str | None) -> None:
    assert parse_name(f"UTKFace/{name}") == Sample(f"UTKFace/{name}", age, age, sex=sex, race=race)


@pytest.mark.parametrize(("named", "low", "high"), [(1, 0, 1), (2, 2, 2), (10, 10, 10)])
def test_the_youngest_of_utkface_are_not_yet_two(named: int, low: int, high: int) -> None:
    sample = parse_name(f"{named}_0_0_20161219142446329.jpg.chip.jpg")
    assert sample
    assert (sample.low, sample.high) == (low, high)


@pytest.mark.parametrize(
    "name", ["26_2_0_20170116184024662.jpg", "26_0_5_20170116184024662.jpg", "26_0_0.jpg", "me.jpg"]
)
def test_utkface_names_that_say_nothing(name: str) -> None:
    assert parse_name(name) is None


def test_utkface_counts_what_it_changes_and_leaves_out(tmp_path: Path) -> None:
    same = "5_0_0_20161219142446329.jpg.chip.jpg"
    old = "UTKFace/116_1_4_20170112213001988.jpg.chip.jpg"
    found = listing("utkface", tmp_path, [f"UTKFace/{same}", f"crop_part1/{same}", old, "UTKFace/logo.png", "a.txt"])
    assert [sample.path for sample in found.samples] == [old, f"UTKFace/{same}"]
    assert found.rejected == {"the same name in another folder": 1, "name without age, sex and time": 1}
    assert found.examples["age above 100 taken as 100"] == [old]


def all_age_faces(root: Path) -> list[str]:
    lists = root / "image sets"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("00000A02.jpg 0\r\n07380A80.jpg 0\n13321A70.jpg 1\n")
    (lists / "val.txt").write_text("07381A05.jpg 1\n13321A70.jpg 1\n")
    names = ["00000A02.jpg", "07380A80.jpg", "07381A05.jpg", "13322A30.jpg", "07382A101.jpg"]
    return [f"{folder}/{name}" for folder in ("original images", "aglined faces") for name in names]


def test_all_age_faces_follows_serials_and_official_lists(tmp_path: Path) -> None:
    found = listing("all_age_faces", tmp_path, all_age_faces(tmp_path))
    assert found.samples == [
        Sample("original images/00000A02.jpg", 2, 2, sex="female", split="train"),
        Sample("original images/07380A80.jpg", 80, 80, sex="female", split="train"),
        Sample("original images/07381A05.jpg", 5, 5, sex="male", split="val"),
        Sample("original images/13322A30.jpg", 30, 30, sex="male"),
    ]


def test_all_age_faces_keeps_some_of_the_official_training_list_to_calibrate(tmp_path: Path) -> None:
    names = [f"{i:05}A{2 + i % 70:02}.jpg" for i in range(300)]
    lists = tmp_path / "image sets"
    lists.mkdir()
    (lists / "train.txt").write_text("".join(f"{name} 0\n" for name in names[:250]))
    (lists / "val.txt").write_text("".join(f"{name} 0\n" for name in names[250:]))
    found = listing("all_age_faces", tmp_path, [f"original images/{name}" for name in names])
    counts = Counter(sample.split for sample in found.samples)
    assert counts["val"] == 50
    assert 5 <= counts["calib"] <= 40
    assert counts["train"] + counts["calib"] == 250


def test_all_age_faces_names_its_odd_rows(tmp_path: Path) -> None:
    found = listing("all_age_faces", tmp_path, [*all_age_faces(tmp_path), "original images/cover.jpg"])
    assert found.rejected == {
        "age above 100": 1,
        "name is not a serial, A and an age": 1,
        "in the official lists, but there is no such picture": 1,
    }
    assert found.examples["in both official lists, taken as val"] == ["13321A70.jpg"]


def test_all_age_faces_has_the_authors_crops_too(tmp_path: Path) -> None:
    found = listing("all_age_faces", tmp_path, all_age_faces(tmp_path), faces="aligned")
    assert {sample.path.split("/")[0] for sample in found.samples} == {"aglined faces"}


FGNET = ["FGNET/images/001A02.JPG", "FGNET/images/001a43b.jpg", "FGNET/images/082A69a.JPG", "FGNET/images/x.jpg"]


def test_fgnet_reads_person_and_age_in_either_case(tmp_path: Path) -> None:
    found = listing("fgnet", tmp_path, [*FGNET, "FGNET/points/001a02.pts"])
    assert [(s.subject, s.low, s.high) for s in found.samples] == [("001", 2, 2), ("001", 43, 43), ("082", 69, 69)]
    assert found.rejected == {"name is not a person, A and an age": 1}


def test_fgnet_leaves_one_person_out(tmp_path: Path) -> None:
    found = listing("fgnet", tmp_path, FGNET, leave_out="001")
    assert [sample.split for sample in found.samples] == ["test", "test", "train"]


def test_fgnet_keeps_some_of_the_other_people_to_choose_weights_and_to_calibrate(tmp_path: Path) -> None:
    names = [f"{person:03}A{age:02}.JPG" for person in range(1, 83) for age in (2, 30)]
    found = listing("fgnet", tmp_path, names, leave_out="007")
    people = Counter(split for _, split in {(sample.subject, sample.split) for sample in found.samples})
    assert people == {"train": 70, "val": 6, "calib": 5, "test": 1}


def utkface_lists(root: Path) -> Path:
    """Write the published lists: the class is the age less 21, names are those of the aligned chips."""
    lists = root / "lists"
    lists.mkdir(parents=True)
    train = [f"{i},{21 + i % 40}_0_1_{i:017}.jpg.chip.jpg,{i % 40}" for i in range(200)]
    (lists / "utk_train.csv").write_text("\n".join([",file,age", *train]) + "\n")
    (lists / "utk_test.csv").write_text(",file,age\n300,60_1_0_00000000000000300.jpg.chip.jpg,39\n301,21_0_0_9.jpg,0\n")
    return lists


def test_utkface_follows_the_published_lists_of_21_to_60(tmp_path: Path) -> None:
    names = [f"part1/{21 + i % 40}_0_1_{i:017}.jpg" for i in range(200)]
    names += ["part1/60_1_0_00000000000000300.jpg", "part1/5_0_0_00000000000000301.jpg"]
    found = listing("utkface", tmp_path / "faces", names, lists=str(utkface_lists(tmp_path)))
    counts = Counter(sample.split for sample in found.samples)
    assert counts["test"] == 1
    assert 0 < counts["val"] < 30
    assert 0 < counts["calib"] < 30
    assert counts["train"] == 200 - counts["val"] - counts["calib"]
    assert found.rejected == {
        "not in the published lists": 1,
        "in the published lists, but there is no such picture": 1,
    }


def test_utkface_says_which_published_list_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no .*utk_train\.csv"):
        listing("utkface", tmp_path, ["21_0_1_00000000000000001.jpg"], lists=str(tmp_path))


def test_leaving_out_nobody_is_an_error() -> None:
    with pytest.raises(DatasetError, match="nobody here is person '1'"):
        leave_one_out([Sample("001A02.JPG", 2, 2, subject="001")], "1")
