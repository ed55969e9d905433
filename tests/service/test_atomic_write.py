from __future__ import annotations

from pathlib import Path

import pytest

from service.atomic_write import atomic_write


def test_several_writers_of_one_file_each_write_all_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "part.csv"
    with atomic_write(path, shared=True) as first:
        first.write_text("the first's")
        with atomic_write(path, shared=True) as second:
            second.write_text("the second's")
        assert path.read_text() == "the second's"
    assert path.read_text() == "the first's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("shared", [False, True])
def test_a_block_that_fails_leaves_the_file_as_it_was_and_nothing_else(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "part.csv"
    path.write_text("before")
    with pytest.raises(OSError, match="half"), atomic_write(path, shared=shared) as partial:
        _half_write(partial)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def _half_write(partial: Path) -> None:
    partial.write_text("half")
    raise OSError("half of it")


def test_an_unfinished_file_is_hidden_and_keeps_its_ending(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "best.weights.h5") as partial:
        partial.write_text("half")
        assert partial.name.startswith(".")
        assert partial.name.endswith(".weights.h5")
