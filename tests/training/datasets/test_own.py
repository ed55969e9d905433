"""One's own faces: a table, or folders named for ages."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets import DatasetError, Listing, Sample, read
from training.datasets.tables import parse_ages


def from_table(root: Path, table: str, *files: str) -> Listing:
    (root / "labels.csv").write_text(table, encoding="utf-8-sig")
    return from_folders(root, *files)


def from_folders(root: Path, *files: str) -> Listing:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"picture")
    return read("own", root)


def test_a_full_table(tmp_path: Path) -> None:
    table = 'file,age,subject,group,sex,race,split\na/1.jpg,"(25, 32)",Ann,g1,F,white,val\n2.png,60+,,,,,\n'
    assert from_table(tmp_path, table, "a/1.jpg", "2.png").samples == [
        Sample("a/1.jpg", 25, 32, subject="Ann", group="g1", sex="female", race="white", split="val"),
        Sample("2.png", 60, 100),
    ]


def test_a_set_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    assert from_table(tmp_path, "file,age\n1.jpg,30\n", "1.jpg").dataset == "own"
    assert read("own", tmp_path, name="family").dataset == "family"


def test_a_column_that_is_not_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = from_table(tmp_path, "file,age,person,Subject\n1.jpg,30,Ann,Ann\n", "1.jpg")
    said = capsys.readouterr().err.splitlines()
    assert found.samples == [Sample("1.jpg", 30, 30)]
    assert said[0].startswith("labels.csv: column person is not read; known columns are file, age, low, high, subject")
    assert said[1].startswith("labels.csv: column Subject is not read")


def test_columns_that_are_read_are_not_remarked_upon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from_table(tmp_path, "file,age,subject,group,sex,race,split\n1.jpg,30,Ann,,,,\n", "1.jpg")
    assert capsys.readouterr().err == ""


def test_low_and_high_instead_of_age(tmp_path: Path) -> None:
    found = from_table(tmp_path, "file,low,high\n1.jpg,3,5\n", "1.jpg")
    assert found.samples == [Sample("1.jpg", 3, 5)]


def test_odd_rows_are_counted_by_reason(tmp_path: Path) -> None:
    rows = ["1.jpg,30,,", "1.jpg,31,,", "2.jpg,old,,", "3.jpg,101,,", "none.jpg,30,,", "4.jpg,30,,dev", "5.jpg,30,?,"]
    table = "\n".join(["file,age,sex,split", *rows])
    found = from_table(tmp_path, table, *(f"{i}.jpg" for i in range(1, 7)))
    assert [sample.path for sample in found.samples] == ["1.jpg", "5.jpg"]
    assert found.rejected == {
        "a second row for the same picture": 1,
        "no age within 0..100": 2,
        "in the table, but there is no such picture": 1,
        "split is none of train, val, calib, test": 1,
        "no row in the table": 1,
    }
    assert found.noted == {"sex is neither male nor female, taken as unknown": 1}


def test_a_row_cut_short_is_counted(tmp_path: Path) -> None:
    assert from_table(tmp_path, "age,file\n30\n31,1.jpg\n", "1.jpg").rejected.total() == 1


@pytest.mark.parametrize(("header", "said"), [("name,age", "column.* file"), ("file,years", "needs a column age")])
def test_a_table_without_needed_columns_is_an_error(header: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said):
        from_table(tmp_path, f"{header}\n1.jpg,30\n", "1.jpg")


def test_the_table_itself_may_be_the_root(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    (tmp_path / "mine.csv").write_text("file,age\n1.jpg,30\n")
    assert read("own", tmp_path / "mine.csv").samples == [Sample("1.jpg", 30, 30)]


def test_folders_named_for_ages(tmp_path: Path) -> None:
    found = from_folders(tmp_path, "0/a.jpg", "25-32/b.jpg", "val/60+/c.jpg", "20-29/25/d.jpg", "cats/e.jpg")
    assert {s.path: (s.low, s.high, s.split) for s in found.samples} == {
        "0/a.jpg": (0, 0, None),
        "25-32/b.jpg": (25, 32, None),
        "val/60+/c.jpg": (60, 100, "val"),
        "20-29/25/d.jpg": (25, 25, None),
    }
    assert found.examples == {"no age within 0..100 in its folder's name, as in 25, 25-32 or 60+": ["cats/e.jpg"]}


def zipped(root: Path, files: dict[str, str]) -> Listing:
    with zipfile.ZipFile(root / "faces.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return read("own", root / "faces.zip")


def test_an_archive_of_the_folder_keeps_its_splits(tmp_path: Path) -> None:
    files = [f"faces/{split}/{age}/a.jpg" for split in ("Train", "val", "calib", "test") for age in ("25", "40+")]
    found = zipped(tmp_path, dict.fromkeys([*files, "read me.txt"], "picture"))
    assert {each.path: each.split for each in found.samples} == {file: file.split("/")[1].lower() for file in files}
    one = zipped(tmp_path, {"faces/test/25/a.jpg": "picture"})
    assert one.samples == [Sample("faces/test/25/a.jpg", 25, 25, split="test")]
    assert zipped(tmp_path, {"25/test/a.jpg": "picture"}).samples == [Sample("25/test/a.jpg", 25, 25)]


def test_an_archive_of_the_folder_keeps_its_table(tmp_path: Path) -> None:
    table = "file,age,split\na/1.jpg,30,val\n2.jpg,31,\n"
    found = zipped(tmp_path, {"faces/labels.csv": table, "faces/a/1.jpg": "picture", "faces/3.jpg": "picture"})
    assert found.samples == [Sample("faces/a/1.jpg", 30, 30, split="val")]
    assert found.examples == {
        "in the table, but there is no such picture": ["faces/2.jpg"],
        "no row in the table": ["faces/3.jpg"],
    }


def test_every_kind_of_picture_is_listed_or_left_out_with_the_reason(tmp_path: Path) -> None:
    found = from_folders(tmp_path, "30/a.avif", "30/b.HEIC", "30/c.gif", "31/d.TIF", "30/notes.txt")
    assert [sample.path for sample in found.samples] == ["30/a.avif", "30/b.HEIC"]
    assert found.examples == {"GIF, BMP and TIFF are not read; save it as JPEG or PNG": ["30/c.gif", "31/d.TIF"]}


def test_a_row_for_a_gif_is_left_out_once(tmp_path: Path) -> None:
    found = from_table(tmp_path, "file,age\na.gif,30\nb.jpg,31\n", "a.gif", "b.jpg")
    assert ([sample.path for sample in found.samples], found.rejected.total()) == (["b.jpg"], 1)


def test_an_empty_folder_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no labels\.csv and no pictures in folders named for an age"):
        read("own", tmp_path)


@pytest.mark.parametrize(
    ("text", "ages"),
    [
        ("35", (35, 35)),
        (" 0 ", (0, 0)),
        ("35.9", (35, 35)),
        ("(25, 32)", (25, 32)),
        ("[4,6]", (4, 6)),
        ("25_32", (25, 32)),
        ("60+", (60, 100)),
        ("100", (100, 100)),
    ],
)
def test_ages_as_people_write_them(text: str, ages: tuple[int, int]) -> None:
    assert parse_ages(text) == ages


@pytest.mark.parametrize(
    "text", ["", "None", "nan", "-3", "101", "(32, 25)", "(60, 101)", "101+", "3 years", "1e1", "٣"]
)
def test_texts_that_say_no_age(text: str) -> None:
    assert parse_ages(text) is None


@settings(max_examples=50)
@given(st.text(max_size=12))
def test_any_text_gives_a_valid_interval_or_none(text: str) -> None:
    ages = parse_ages(text)
    assert ages is None or 0 <= ages[0] <= ages[1] <= 100
