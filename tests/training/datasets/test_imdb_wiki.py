"""IMDB-WIKI from real .mat files in the layout of the published ones."""

import io
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from training.datasets import DatasetError, read
from training.datasets.imdb_wiki import age_in_july, birth_date

ROW = {"dob": 0.0, "year": 2000.0, "gender": 1.0, "name": "Ann Ex", "score": 3.0, "second": np.nan}


def datenum(year: int, month: int, day: int) -> float:
    return date(year, month, day).toordinal() + 366


def cells(values: list[str]) -> Any:
    """A 1-by-N cell of texts; an empty text is MATLAB's empty array."""
    row = np.empty((1, len(values)), dtype=object)
    for i, value in enumerate(values):
        row[0, i] = np.array([value]) if value else np.empty((0,), dtype="<U1")
    return row


def write_mat(folder: Path, part: str, rows: list[dict[str, Any]], *, pictures: bool = True) -> None:
    """Write `part`.mat as its authors do: one struct whose fields are row vectors and cells."""
    rows = [ROW | {"path": f"{i:02d}/nm{i}_rm1_2000.jpg"} | row for i, row in enumerate(rows)]
    boxes = np.empty((1, len(rows)), dtype=object)
    boxes[0, :] = [np.array([[1.0, 1.0, 100.0, 100.0]])] * len(rows)
    struct: dict[str, Any] = {
        "dob": np.array([[row["dob"] for row in rows]]),
        "photo_taken": np.array([[row["year"] for row in rows]]),
        "full_path": cells([row["path"] for row in rows]),
        "gender": np.array([[row["gender"] for row in rows]]),
        "name": cells([row["name"] for row in rows]),
        "face_location": boxes,
        "face_score": np.array([[row["score"] for row in rows]]),
        "second_face_score": np.array([[row["second"] for row in rows]]),
    }
    if part == "imdb":
        struct |= {"celeb_names": cells(["Ann Ex"]), "celeb_id": np.ones((1, len(rows)))}
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / f"{part}.mat", {part: struct}, do_compression=True)
    for row in rows if pictures else []:
        (folder / row["path"]).parent.mkdir(exist_ok=True)
        (folder / row["path"]).write_bytes(b"picture")


def test_both_parts_are_read_with_people_as_subjects(tmp_path: Path) -> None:
    write_mat(
        tmp_path / "imdb_crop", "imdb", [{"dob": datenum(1970, 7, 1)}, {"dob": datenum(1970, 7, 2), "gender": 0.0}]
    )
    write_mat(tmp_path / "wiki_crop", "wiki", [{"dob": datenum(1960, 1, 1), "name": "ANN EX", "gender": np.nan}])
    found = read("imdb_wiki", tmp_path).samples
    assert [(s.low, s.high, s.subject, s.sex) for s in found] == [
        (30, 30, "ann ex", "male"),
        (29, 29, "ann ex", "female"),
        (40, 40, "ann ex", None),
    ]


def test_one_part_can_be_read_alone(tmp_path: Path) -> None:
    for part in ("imdb", "wiki"):
        write_mat(tmp_path / f"{part}_crop", part, [{"dob": datenum(1970, 1, 1)}])
    assert [s.path for s in read("imdb_wiki", tmp_path, part="wiki").samples] == ["wiki_crop/00/nm0_rm1_2000.jpg"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"dob": 0.0}, "date of birth is no date"),
        ({"dob": -5.25}, "date of birth is no date"),
        ({"dob": 366.0}, "date of birth is no date"),
        ({"dob": np.nan}, "date of birth is no date"),
        ({"dob": 4e6}, "date of birth is no date"),
        ({"year": np.nan}, "the photograph's year is no year"),
        ({"year": 0.0}, "the photograph's year is no year"),
        ({"dob": datenum(1899, 6, 1)}, "age outside 0..100"),
        ({"dob": datenum(2000, 7, 2)}, "age outside 0..100"),
        ({"score": -np.inf}, "no face was found"),
        ({"score": 0.99}, "face score below 1"),
        ({"second": 1.5}, "second face scores above 0"),
        ({"path": ""}, "no path"),
    ],
)
def test_odd_rows_are_counted_by_reason(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    good = {"dob": datenum(1970, 1, 1)}
    write_mat(tmp_path, "wiki", [good, good | row], pictures=False)
    (tmp_path / "00").mkdir()
    (tmp_path / "00/nm0_rm1_2000.jpg").touch()
    found = read("imdb_wiki", tmp_path)
    assert (len(found.samples), found.rejected) == (1, {reason: 1})


@pytest.mark.parametrize(
    "row", [{"dob": datenum(1900, 7, 1)}, {"dob": datenum(2000, 7, 1) + 0.75}, {"score": 1.0}, {"second": 0.0}]
)
def test_rows_at_the_edges_are_kept(row: dict[str, Any], tmp_path: Path) -> None:
    write_mat(tmp_path, "wiki", [{"dob": datenum(1970, 1, 1)} | row])
    assert len(read("imdb_wiki", tmp_path).samples) == 1


def test_score_filters_are_options(tmp_path: Path) -> None:
    write_mat(tmp_path, "imdb", [{"dob": datenum(1970, 1, 1), "score": 0.5, "second": 1.0}])
    assert len(read("imdb_wiki", tmp_path, min_face_score="0.5", max_second_face_score="1").samples) == 1


def test_an_empty_name_falls_back_on_the_file(tmp_path: Path) -> None:
    write_mat(tmp_path, "imdb", [{"dob": datenum(1970, 1, 1), "name": ""}])
    assert read("imdb_wiki", tmp_path).samples[0].subject == "nm0"


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    write_mat(tmp_path, "imdb", [{"dob": datenum(1970, 1, 1)}], pictures=False)
    found = read("imdb_wiki", tmp_path)
    assert found.examples == {"in the .mat file, but there is no such picture": ["00/nm0_rm1_2000.jpg"]}


def test_the_crops_own_mat_goes_before_another(tmp_path: Path) -> None:
    write_mat(tmp_path / "imdb", "imdb", [{"dob": datenum(1970, 1, 1)}])
    write_mat(tmp_path / "imdb_crop", "imdb", [{"dob": datenum(1970, 1, 1)}])
    found = read("imdb_wiki", tmp_path)
    assert [s.path for s in found.samples] == ["imdb_crop/00/nm0_rm1_2000.jpg"]
    assert found.examples["another imdb.mat, not read"] == ["imdb/imdb.mat"]


def matlab_bytes(**variables: Any) -> bytes:
    file: Any = io.BytesIO()  # scipy's stubs know paths alone.
    savemat(file, variables)
    return bytes(file.getvalue())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not MATLAB" * 50,
        matlab_bytes(other=1.0),
        matlab_bytes(wiki={"dob": np.ones((1, 2))}),
        matlab_bytes(wiki=dict.fromkeys(["photo_taken", "full_path", "gender", "name", "face_score"], 1.0)),
    ],
)
def test_a_file_in_another_layout_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "wiki.mat").write_bytes(data)
    with pytest.raises(DatasetError, match=r"wiki\.mat is not the published struct"):
        read("imdb_wiki", tmp_path)


def test_fields_of_different_length_are_refused(tmp_path: Path) -> None:
    fields: dict[str, Any] = dict.fromkeys(["dob", "photo_taken", "gender", "face_score"], np.ones((1, 2)))
    fields |= {"second_face_score": np.ones((1, 3)), "full_path": cells(["a", "b"]), "name": cells(["a", "b"])}
    savemat(tmp_path / "wiki.mat", {"wiki": fields})
    with pytest.raises(DatasetError, match="different lengths"):
        read("imdb_wiki", tmp_path)


def test_without_a_mat_file_the_error_names_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"imdb\.mat or wiki\.mat"):
        read("imdb_wiki", tmp_path)


def test_the_date_number_of_matlabs_documentation() -> None:
    # datenum('19-May-2000') is 730625 in MathWorks' documentation of serial date numbers.
    assert birth_date(730625) == birth_date(730625.9) == date(2000, 5, 19)


@settings(max_examples=50)
@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001 (a calendar, no clock)
def test_any_time_of_a_day_is_that_day(moment: datetime) -> None:
    fraction = (moment - datetime.combine(moment, datetime.min.time())).total_seconds() / 86400
    assert birth_date(datenum(*moment.date().timetuple()[:3]) + min(fraction, 0.999)) == moment.date()


@settings(max_examples=50)
@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2000, 12, 31)), st.integers(0, 99))
def test_age_in_july_counts_birthdays(born: date, years: int) -> None:
    age = age_in_july(born, born.year + years)
    birthday_came = (born.month, born.day) <= (7, 1)
    assert age == (years if birthday_came else years - 1)
