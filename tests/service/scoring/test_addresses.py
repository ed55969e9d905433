"""Names that mean something in the address of an object store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from service.errors import InvalidParameter
from service.scoring.inputs import open_inputs
from service.scoring.parts import part_name
from tests.service.scoring.doubles import contents, table

ODD_NAMES = ["shotA.jpg", "shot%41.jpg", "a#b.jpg", "a?b=c.jpg", "a b.jpg", "ä+[1].jpg", "50%.jpg", "sub %2F/a:b@c.jpg"]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Pictures whose names mean something in a URI, each with its name as its content."""
    for name in ODD_NAMES:
        path = tmp_path / "odd # names" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "odd # names"


@pytest.mark.parametrize("behind", ["", "/", "?region=x", "/?a=b/c&d=e"])
def test_names_in_a_store_are_no_parts_of_its_address(odd: Path, tmp_path: Path, behind: str) -> None:
    table(odd / "in.parquet", path=ODD_NAMES)
    (odd / "ages").mkdir()
    for name in ("score.json", part_name(["a"], "parquet")):
        (odd / "ages" / name).write_bytes(b"x")
    inputs = open_inputs(f"file://{quote(str(odd))}{behind}", tmp_path / "out")
    found = contents(inputs)
    assert found == {name: name.encode() for name in ODD_NAMES} | {
        f"in.parquet#{row}": name.encode() for row, name in enumerate(ODD_NAMES)
    }
    assert inputs.count() == len(found)
    assert len(inputs.results) == 1


@pytest.mark.parametrize("table_name", ["t.csv", "a b%41.csv"])
def test_names_in_a_table_of_a_store_are_no_parts_of_its_address(odd: Path, tmp_path: Path, table_name: str) -> None:
    (odd / table_name).write_text("path\n" + "\n".join(ODD_NAMES) + "\n", encoding="utf-8")
    found = contents(open_inputs(f"file://{quote(str(odd / table_name))}?region=x", tmp_path))
    assert found == {f"{table_name}#{row}": name.encode() for row, name in enumerate(ODD_NAMES)}


def test_an_address_may_have_blanks_and_other_letters(odd: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"file://{tmp_path}/odd %23 names/a b.jpg\n", encoding="utf-8")
    assert list(contents(open_inputs(str(tmp_path / "list.txt"), odd)).values()) == [b"a b.jpg"]
    assert contents(open_inputs(f"file://{tmp_path}/odd %23 names/ä+[1].jpg", odd)) == {
        "ä+[1].jpg": "ä+[1].jpg".encode()
    }


@pytest.mark.parametrize("address", ["s3://bucket/50%.jpg", "s3://bucket/a.jpg#1", "s3://bucket/a.jpg?nonesuch=1"])
def test_an_address_that_is_wrong_is_said_to_be_and_not_that_a_package_is_missing(address: str) -> None:
    with pytest.raises(InvalidParameter, match=r"the address s3://bucket/.* cannot be used: .*write # as %23"):
        open_inputs(address, Path()).count()
