"""What INPUT may be: folder, pattern, list, Parquet with bytes or paths, object store."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import InvalidParameter
from service.scoring.inputs import Inputs, open_inputs
from service.scoring.job import Fault, Item
from service.scoring.parts import part_name
from service.scoring.storage import pictures
from service.scoring.tables import Columns
from tests.service.scoring.doubles import contents, table

NAMES = ["a.jpg", "b.PNG", "c.webp", "sub/a.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*NAMES, "readme.md", "out/d.jpg", ".hidden.jpg", ".venv/e.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "in"


def ids(inputs: Inputs) -> list[str]:
    found = sorted(item.id for item in inputs)
    assert inputs.count() == len(found)
    return found


def test_a_folder_is_its_pictures_below_it_without_the_output(folder: Path) -> None:
    inputs = open_inputs(str(folder), folder / "out")
    assert ids(inputs) == NAMES
    assert contents(inputs)["sub/a.jpg"] == b"sub/a.jpg"


def test_a_pattern_is_the_files_it_matches(folder: Path) -> None:
    assert ids(open_inputs(f"{folder}/**/a.*", folder / "out")) == [f"{folder}/a.jpg", f"{folder}/sub/a.jpg"]
    assert ids(open_inputs(f"{folder}/read*", folder / "out")) == [f"{folder}/readme.md"]


def test_a_list_is_its_lines(folder: Path, tmp_path: Path) -> None:
    lines = tmp_path / "list.txt"
    lines.write_text(f"{folder}/a.jpg\n\n  {folder}/missing.jpg  \n")
    found = contents(open_inputs(str(lines), tmp_path / "out"))
    assert found[f"{folder}/a.jpg"] == b"a.jpg"
    missing = found[f"{folder}/missing.jpg"]
    assert isinstance(missing, OSError)
    assert missing.errno == errno.ENOENT


def test_a_csv_table_is_its_rows_with_paths_meant_from_its_folder(folder: Path, tmp_path: Path) -> None:
    path = folder / "t.csv"
    path.write_text('\ufeffage,Path\n30,a.jpg\n\n31,a.jpg\n32,"sub/a.jpg"\n33\n34,../secret.jpg\n', encoding="utf-8")
    found = contents(open_inputs(str(path), tmp_path))
    assert list(found) == [f"t.csv#{row}" for row in range(5)]
    assert list(found.values())[:3] == [b"a.jpg", b"a.jpg", b"sub/a.jpg"]
    assert found["t.csv#3"] == Fault("missing-picture", "the row has no photograph")
    assert found["t.csv#4"] == Fault(
        "path-outside", "../secret.jpg is outside the table's folder; --allow-any-path allows that"
    )
    assert open_inputs(str(path), tmp_path).count() == 5
    named = contents(open_inputs(str(path), tmp_path, Columns(id="age")))
    assert list(named) == ["30", "31", "32", "33", "34"]
    assert "t.csv" not in ids(open_inputs(str(folder), tmp_path))


def test_a_csv_table_of_one_column_needs_no_name_for_it(folder: Path, tmp_path: Path) -> None:
    (folder / "t.csv").write_text("photo\na.jpg\n")
    assert contents(open_inputs(f"file://{folder}/t.csv", tmp_path)) == {"t.csv#0": b"a.jpg"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_table_has_commas_semicolons_or_tabs(folder: Path, tmp_path: Path, separator: str) -> None:
    (folder / "t.csv").write_text(f"path{separator}note\na.jpg{separator}x\n")
    assert contents(open_inputs(str(folder / "t.csv"), tmp_path)) == {"t.csv#0": b"a.jpg"}


def test_a_line_that_tells_excel_the_separator_is_no_header(folder: Path, tmp_path: Path) -> None:
    (folder / "t.csv").write_text("sep=;\npath;a,b,c\na.jpg;x\n")
    assert contents(open_inputs(str(folder / "t.csv"), tmp_path)) == {"t.csv#0": b"a.jpg"}


@pytest.mark.parametrize("content", ['path;"notes, remarks, and more"\na.jpg;x\n', "path,note\na.jpg,x,\n"])
def test_commas_within_quotes_and_at_the_end_of_rows_are_no_columns(folder: Path, tmp_path: Path, content: str) -> None:
    (folder / "t.csv").write_text(content)
    assert contents(open_inputs(str(folder / "t.csv"), tmp_path)) == {"t.csv#0": b"a.jpg"}


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        (b"a.jpg\nb.jpg\n", Columns(), r"t\.csv: the first line .* and a\.jpg looks like a photograph; write `path`"),
        (b"left,right\n", Columns(), r"t\.csv: which column holds the photographs\? .*there are left, right"),
        (b"path\n", Columns("photo"), "has no column photo; it has path"),
        (b"id,path,id\n", Columns(id="id"), r"t\.csv has 2 columns named id; rename one"),
        (b"path\n\xff\n", Columns(), r"t\.csv cannot be read as CSV: .*utf-8"),
        (
            b'path\na.jpg\n"b.jpg\nc.jpg\n',
            Columns(),
            r"CSV: the row that begins at line 3: .*is a quotation mark missing",
        ),
        (b'sep=;\npath;x\n"a\nb";1\n"b.jpg;1\n"c.jpg";1\n', Columns(), "the row that begins at line 5: "),
        (b'"path\na.jpg\n', Columns(), "the row that begins at line 1: "),
    ],
)
def test_a_csv_table_that_is_not_clear_is_named(
    folder: Path, tmp_path: Path, content: bytes, columns: Columns, said: str
) -> None:
    (folder / "t.csv").write_bytes(content)
    with pytest.raises(InvalidParameter, match=said):
        open_inputs(str(folder / "t.csv"), tmp_path, columns).count()


def test_a_quotation_mark_that_is_not_closed_makes_one_failure_beside_pictures(folder: Path, tmp_path: Path) -> None:
    (folder / "t.csv").write_text('path\na.jpg\n"b.PNG\nc.webp\n')
    inputs = open_inputs(f"{folder}/[at].*", tmp_path)
    assert inputs.count() == 2
    found = contents(inputs)
    assert "the row that begins at line 3: unexpected end of data" in str(found.pop(f"{folder}/t.csv"))
    assert found == {f"{folder}/a.jpg": b"a.jpg"}


def test_csv_rows_that_are_longer_or_shorter_than_the_header_are_faults(folder: Path, tmp_path: Path) -> None:
    (folder / "t.csv").write_text('id,path\n1,a.jpg,the second\n2\n3,""\n4,a.jpg\n \t,a.jpg\n')
    found = contents(open_inputs(str(folder / "t.csv"), tmp_path, Columns(id="id")))
    assert found.pop("4") == b"a.jpg"
    assert [fault.reason for fault in found.values() if isinstance(fault, Fault)] == [
        "malformed-row",
        "missing-picture",
        "missing-picture",
        "missing-id",
    ]


def test_struct_of_something_else_is_a_fault_that_says_what(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=[{"path": 7}])
    (fault,) = contents(open_inputs(str(path), tmp_path, Columns("image"))).values()
    assert fault == Fault("unreadable", "the cell holds int, neither a photograph nor a path")


def test_bytes_of_a_fixed_size_are_found_by_their_type(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=pa.array([b"one", b"two"], pa.binary(3)), age=[1, 2])
    assert list(contents(open_inputs(str(path), tmp_path)).values()) == [b"one", b"two"]


def test_bytes_in_parquet_are_named_by_their_rows(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=[b"one", b"two", None], label=["x", "y", "z"])
    assert contents(open_inputs(str(path), tmp_path / "out")) == {
        "t.parquet#0": b"one",
        "t.parquet#1": b"two",
        "t.parquet#2": Fault("missing-picture", "the row has no photograph"),
    }


def test_an_id_column_names_the_pictures(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=[b"one", b"two"], key=[7, 8])
    assert contents(open_inputs(str(path), tmp_path, Columns(id="key"))) == {"7": b"one", "8": b"two"}


def test_structs_of_image_data_sets_are_read(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=[{"bytes": b"one", "path": "x.jpg"}])
    assert contents(open_inputs(str(path), tmp_path)) == {"t.parquet#0": b"one"}


def test_paths_in_parquet_are_meant_from_its_folder(folder: Path, tmp_path: Path) -> None:
    path = table(folder / "t.parquet", path=["a.jpg", str(folder / "b.PNG"), "./sub/../c.webp"], age=[1, 2, 3])
    assert list(contents(open_inputs(str(path), tmp_path)).values()) == [b"a.jpg", b"b.PNG", b"c.webp"]


def test_paths_out_of_a_tables_folder_are_not_read_unless_they_are_allowed(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    (folder / "link.jpg").symlink_to(secret)
    (folder / "away").symlink_to(tmp_path)
    paths = [str(secret), "../secret.jpg", "sub/../../secret.jpg", "link.jpg", "away/secret.jpg", f"file://{secret}"]
    path = table(folder / "t.parquet", path=paths)
    found = list(contents(open_inputs(str(path), tmp_path)).values())
    assert [fault.reason for fault in found if isinstance(fault, Fault)] == ["path-outside"] * 6
    assert "--allow-any-path" in str(found[0])
    allowed = contents(open_inputs(str(path), tmp_path, Columns(any_path=True)))
    assert list(allowed.values()) == [b"secret"] * 6


def test_paths_of_a_table_in_a_store_are_those_below_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    base = f"file://{folder}"
    paths = ["a.jpg", f"{base}/b.PNG", f"{base}/../secret.jpg", "../secret.jpg", f"{tmp_path}/secret.jpg"]
    paths += [f"{base}/%2e%2e/secret.jpg", f"{base}/sub%2F..%2f../secret.jpg", f"{base}/a.jpg?endpoint_override=other"]
    table(folder / "t.parquet", path=paths)
    found = list(contents(open_inputs(f"{base}/t.parquet", tmp_path)).values())
    assert found[:2] == [b"a.jpg", b"b.PNG"]
    assert [fault.reason for fault in found if isinstance(fault, Fault)] == ["path-outside"] * 6


def test_a_table_in_a_store_that_reads_escapes_by_itself_has_none_that_lead_out(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/shop/t.csv", b"path\n%2e%2e/secret.jpg\na%41.jpg\n")
    store.pipe("/shop/a%41.jpg", b"escaped")
    found = contents(open_inputs("memory://shop/t.csv", tmp_path))
    assert str(found.pop("t.csv#0")).startswith("Fault(reason='path-outside'")
    assert found == {"t.csv#1": b"escaped"}


@pytest.mark.parametrize("path", ["null\0character", "loop.jpg", "x" * 5000])
def test_path_of_a_table_that_cannot_be_followed_is_an_error_of_its_own(folder: Path, path: str) -> None:
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    where = table(folder / "t.parquet", path=[path])
    assert [type(found) for found in contents(open_inputs(str(where), folder)).values()] == [OSError]


def test_rows_without_an_id_are_faults_under_their_place(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", image=[b"one", b"two", b"three"], key=["", None, "x"])
    found = contents(open_inputs(str(path), tmp_path, Columns(id="key")))
    missing = Fault("missing-id", "the row has no id")
    assert found == {"t.parquet#0": missing, "t.parquet#1": missing, "x": b"three"}
    numbers = table(tmp_path / "n.parquet", image=[b"one"], key=[float("nan")])
    assert contents(open_inputs(str(numbers), tmp_path, Columns(id="key"))) == {"n.parquet#0": missing}


def test_links_that_lead_nowhere_and_folders_that_cannot_be_read_are_named(folder: Path) -> None:
    (folder / "dangling.jpg").symlink_to(folder / "gone")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "linked").symlink_to(folder / "sub")
    os.mkfifo(folder / "pipe.jpg")
    inputs = open_inputs(str(folder), folder / "out")
    assert ids(inputs) == sorted([*NAMES, "dangling.jpg", "linked", "loop.jpg", "pipe.jpg"])
    found = contents(inputs)
    assert all(isinstance(found[name], OSError) for name in ("dangling.jpg", "loop.jpg", "pipe.jpg"))
    assert found["linked"] == Fault("folder-link", "a link to a folder, which is not followed")
    pattern = contents(open_inputs(f"{folder}/dang*", folder / "out"))
    assert [type(error) for error in pattern.values()] == [FileNotFoundError]


def test_folder_that_cannot_be_gone_through_is_a_fault_of_its_name(folder: Path) -> None:
    found = iter(open_inputs(str(folder), folder / "out"))
    next(found)
    shutil.rmtree(folder / "sub")  # while its parent is gone through; root, who may run the tests, may enter any
    assert Item("sub", f"{folder}/sub", fault=Fault("unreadable", "No such file or directory")) in list(found)


def test_input_that_cannot_be_read_at_all_is_refused(tmp_path: Path) -> None:
    for source in ("x" * 5000, str(tmp_path / ("y" * 300))):
        with pytest.raises(InvalidParameter):
            open_inputs(source, tmp_path)


@pytest.mark.parametrize(
    ("columns", "named", "message"),
    [
        ({"a": [b"x"], "b": [b"y"]}, None, r"which column holds the photographs\? .*there are a, b"),
        ({"a": [1]}, None, "which column holds the photographs"),
        ({"a": [1]}, "a", r"the column a holds int64, neither photographs nor paths; name another with --column"),
        ({"path": [["x.jpg"]]}, None, "the column path holds list<.*>, neither photographs nor paths"),
        ({"a": [b"x"]}, "photo", "has no column photo; it has a"),
    ],
)
def test_columns_that_are_not_clear_are_asked_for(
    tmp_path: Path, columns: dict[str, Any], named: str | None, message: str
) -> None:
    path = table(tmp_path / "t.parquet", **columns)
    with pytest.raises(InvalidParameter, match=message):
        open_inputs(str(path), tmp_path / "out", Columns(picture=named)).count()


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidParameter, match=r"t\.parquet cannot be read as Parquet"):
        open_inputs(str(tmp_path), tmp_path / "out").count()


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_store_is_its_pictures_below_the_uri(folder: Path, scheme: str) -> None:
    store = fsspec.filesystem(scheme)
    if scheme == "memory":
        store.put(str(folder), "/bucket", recursive=True)
    inputs = open_inputs("memory://bucket" if scheme == "memory" else f"file://{folder}", folder)
    assert ids(inputs) == sorted([*NAMES, "out/d.jpg"])
    assert contents(inputs)["sub/a.jpg"] == b"sub/a.jpg"


def test_a_store_that_nobody_knows_is_named() -> None:
    with pytest.raises(InvalidParameter, match="nonesuch:// cannot be read"):
        open_inputs("nonesuch://bucket/key", Path()).count()


def test_store_that_lacks_an_option_fails_its_pictures_and_not_the_run() -> None:
    ((_, found),) = pictures([Item("x", "reference://x.jpg")])
    assert isinstance(found, OSError)


def test_pictures_of_a_store_keep_their_order_and_errors(folder: Path) -> None:
    items = [Item(name, f"file://{folder}/{name}") for name in ("c.webp", "missing", "a.jpg", *["b.PNG"] * 20)]
    found = [data for _, data in pictures(items)]
    assert isinstance(found[1], OSError)
    assert [*found[:1], *found[2:]] == [b"c.webp", b"a.jpg", *[b"b.PNG"] * 20]


def test_what_is_no_regular_file_is_an_error_and_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, "null\0character"):
        ((_, data),) = pictures([Item("x", str(path))])
        assert isinstance(data, OSError)


def test_names_that_are_not_utf8_can_be_written_down(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg"))).write_bytes(b"x")
    assert contents(open_inputs(str(tmp_path), tmp_path / "out")) == {"\\xff.jpg": b"x"}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_first_line_of_a_list_counts_also_after_a_byte_order_mark(
    folder: Path, tmp_path: Path, scheme: str
) -> None:
    (tmp_path / "list.txt").write_text(f"\ufeff{folder}/a.jpg\r\n{folder}/b.PNG\r\n", encoding="utf-8")
    found = contents(open_inputs(f"{scheme}{tmp_path}/list.txt", tmp_path / "out"))
    assert found == {f"{folder}/a.jpg": b"a.jpg", f"{folder}/b.PNG": b"b.PNG"}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_lines_of_a_list_that_are_not_utf8_are_photographs_too(folder: Path, tmp_path: Path, scheme: str) -> None:
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    (tmp_path / "list.txt").write_bytes(os.fsencode(folder) + b"/\xff.jpg\n/\xfe\n")
    found = contents(open_inputs(f"{scheme}{tmp_path}/list.txt", tmp_path / "out"))
    assert found.pop(f"{folder}/\\xff.jpg") == b"x"
    assert [type(data) for data in found.values()] == [FileNotFoundError]


def test_tables_that_cannot_be_read_are_a_fault_each_beside_pictures(folder: Path, tmp_path: Path) -> None:
    (folder / "noise.parquet").write_bytes(b"PAR1 and something else")
    table(folder / "ages.parquet", age=[1, 2])
    table(folder / "good.parquet", image=[b"one"])
    assert ids(open_inputs(str(folder), folder / "out")) == sorted(
        [*NAMES, "ages.parquet", "good.parquet#0", "noise.parquet"]
    )
    found = contents(open_inputs(str(folder), folder / "out"))
    assert found["good.parquet#0"] == b"one"
    assert "noise.parquet cannot be read as Parquet" in str(found["noise.parquet"])
    assert "which column holds the photographs? " in str(found["ages.parquet"])


def test_rows_before_the_damage_of_a_table_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = pa.table({"image": [bytes([row]) * 4096 for row in range(64)]})
    pq.write_table(columns, path, row_group_size=32, compression="none", use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    damaged[start : start + 64] = b"\xff" * 64
    path.write_bytes(damaged)
    found = contents(open_inputs(str(path), tmp_path / "out"))
    assert list(found) == [*(f"t.parquet#{row}" for row in range(32)), "t.parquet"]
    fault = found["t.parquet"]
    assert isinstance(fault, Fault)
    assert (fault.reason, "t.parquet cannot be read as Parquet: " in fault.detail) == ("unreadable", True)


def test_cells_that_are_not_utf8_are_faults_of_their_rows(tmp_path: Path) -> None:
    def texts(*values: bytes) -> Any:
        return pa.array(values, pa.binary()).view(pa.string())

    (tmp_path / "a.jpg").write_bytes(b"x")
    path = table(tmp_path / "t.parquet", path=texts(b"a.jpg", b"\xff.jpg"))
    found = contents(open_inputs(str(path), tmp_path / "out"))
    assert found["t.parquet#0"] == b"x"
    assert "the cell cannot be read: 'utf-8' codec" in str(found["t.parquet#1"])
    path = table(tmp_path / "ids.parquet", image=[b"one", b"two"], key=texts(b"\xff", b"x"))
    found = contents(open_inputs(str(path), tmp_path / "out", Columns(id="key")))
    assert found["x"] == b"two"
    assert "the row has no id: the cell cannot be read" in str(found["ids.parquet#0"])
    members = [pa.array([b"one"]), texts(b"\xff")]
    path = table(tmp_path / "struct.parquet", image=pa.StructArray.from_arrays(members, ["bytes", "path"]))
    assert contents(open_inputs(str(path), tmp_path / "out")) == {"struct.parquet#0": b"one"}


@pytest.mark.parametrize("source", ["{}", "{}/**", "file://{}"])
def test_results_of_an_earlier_run_are_left_out_and_named(folder: Path, tmp_path: Path, source: str) -> None:
    part = part_name(["a"], "parquet")
    for name in ("score.json", part, "prior.csv", "report.html", "beside.jpg", "part-1.jpg"):
        (folder / "ages").mkdir(exist_ok=True)
        (folder / "ages" / name).write_bytes(b"x")
    table(folder / "part-0.parquet", image=[b"one"])
    inputs = open_inputs(source.format(folder), tmp_path / "out")
    found = [each.removeprefix(f"{folder}/") for each in ids(inputs)]
    assert {"part-0.parquet#0", *NAMES} <= set(found)
    assert {name for name in found if name.startswith("ages/")} == {"ages/beside.jpg", "ages/part-1.jpg"}
    assert inputs.results == {source.format(folder).removesuffix("/**") + "/ages"}


def test_output_that_is_the_input_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(InvalidParameter, match=r"--output is INPUT itself; name another folder, such as .*/in/ages"):
        open_inputs(str(folder), tmp_path / "link")


def test_input_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="INPUT is empty; name a folder"):
        open_inputs("", tmp_path)
