"""The registry, and an index that overrides groups and splits."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from training.datasets import READERS, DatasetError, Listing, Sample, read

HEADER = "file,age,gender,race,group,split"


def indexed(root: Path, *rows: str, header: str = HEADER) -> Listing:
    """Read three FG-NET pictures, aged 2, 30 and 40, through an index of these rows."""
    for name in ("001A02.JPG", "002A30.JPG", "003A40.JPG"):
        (root / "images").mkdir(exist_ok=True)
        (root / "images" / name).write_bytes(b"picture")
    (root / "index.csv").write_text("\n".join([header, *rows]) + "\n")
    return read("fgnet", root, root / "index.csv", leave_out="001")


def test_the_index_sets_group_and_split(tmp_path: Path) -> None:
    found = indexed(tmp_path, "001A02.JPG,2,,,g7,calib", "002A30.JPG,30,,,,train", "003A40.JPG,40,,,,")
    assert found.samples == [
        Sample("images/001A02.JPG", 2, 2, subject="001", group="g7", split="calib"),
        Sample("images/002A30.JPG", 30, 30, subject="002", split="train"),
        Sample("images/003A40.JPG", 40, 40, subject="003"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("004A50.JPG,50,,,,train", "in the index, but the dataset has no such picture"),
        ("003A40.JPG,41,,,,train", "the index has another age"),
        ("003A40.JPG,40,,,,dev", "the index has a split that is none of train, val, calib, test"),
    ],
)
def test_rows_that_disagree_are_counted(row: str, reason: str, tmp_path: Path) -> None:
    found = indexed(tmp_path, "001A02.JPG,2,,,,train", "002A30.JPG,30,,,,train", row)
    assert len(found.samples) == 2
    assert found.rejected[reason] == 1


def test_pictures_that_the_index_leaves_out_are_counted(tmp_path: Path) -> None:
    found = indexed(tmp_path, "001A02.JPG,2,,,,train")
    assert found.rejected == {"not in the index": 2}
    assert found.examples["not in the index"] == ["images/002A30.JPG", "images/003A40.JPG"]


def test_an_age_above_100_in_the_index_agrees_with_100(tmp_path: Path) -> None:
    name = "116_1_4_20170112213001988.jpg.chip.jpg"
    (tmp_path / name).touch()
    (tmp_path / "index.csv").write_text(f"{HEADER}\n{name},116,,,,test\n")
    assert read("utkface", tmp_path, tmp_path / "index.csv").samples[0].split == "test"


def test_the_index_may_lie_inside_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("images/001A02.JPG", b"picture")
        archive.writestr("lists/index.csv", f"{HEADER}\n001A02.JPG,2,,,,val\n")
    found = read("fgnet", tmp_path / "set.zip", Path("lists/index.csv"))
    assert [sample.split for sample in found.samples] == ["val"]


@pytest.mark.parametrize(
    ("header", "row"), [("file,age", "001A02.JPG,2"), (HEADER, ",2,,,,train"), (HEADER, "a.jpg,?,,,,")]
)
def test_a_broken_index_is_an_error(header: str, row: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"index\.csv"):
        indexed(tmp_path, row, header=header)


def test_an_index_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no index .*none\.csv"):
        read("fgnet", tmp_path, tmp_path / "none.csv")


def test_an_unknown_dataset_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'utk'; there are adience, all_age_faces, .* utkface"):
        read("utk", tmp_path)


@pytest.mark.parametrize(("option", "value"), [("folds", 3), ("test_fold", "last"), ("alignment", "none")])
def test_an_option_that_a_reader_does_not_have_is_named(option: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"options of adience: {option}"):
        read("adience", tmp_path, **{option: value})


def test_all_seven_sets_are_registered() -> None:
    assert set(READERS) == {"adience", "all_age_faces", "appa_real", "fgnet", "imdb_wiki", "own", "utkface"}


@pytest.mark.parametrize(("low", "high"), [(-1, 5), (6, 5), (5, 101)])
def test_a_sample_refuses_impossible_ages(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="0 <= low <= high <= 100"):
        Sample("a.jpg", low, high)


def test_a_sample_refuses_an_unknown_split() -> None:
    with pytest.raises(ValueError, match="'dev'"):
        Sample("a.jpg", 1, 1, split="dev")
