"""Models beside the IMDB-WIKI network on faces without ages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from service.errors import InvalidParameter
from tests.training.export.bell_model import write_bell_model
from training.cli.main import app
from training.data.store import FaceStore
from training.evaluation import unlabelled
from training.evaluation.unlabelled import on_unlabelled
from training.measures.calibration import decoded
from training.teaching.teacher import Faces, Targets, Teacher, teacher_named

SIZE = 32


@pytest.fixture
def bell(tmp_path: Path) -> Path:
    return write_bell_model(tmp_path, size=SIZE)


@pytest.fixture
def older_by_7(monkeypatch: pytest.MonkeyPatch, bell: Path) -> None:
    """Let the IMDB-WIKI network answer as the model, seven years older."""
    same = teacher_named(str(bell), SIZE)

    def run(faces: Faces) -> Targets:
        return np.roll(same.run(faces), 7, axis=1)

    def named(name: str, size: int) -> Teacher:
        assert (name, size) == ("imdbwiki", SIZE)
        return Teacher(run, 101, 0, once=True)

    monkeypatch.setattr(unlabelled, "teacher_named", named)


def without_ages(store: Path, folder: Path, low: int, high: int) -> Path:
    """Copy a store and say of each face only that it is low..high years old."""
    folder.mkdir()
    for name in ("faces.npy", "store.json"):
        (folder / name).write_bytes((store / name).read_bytes())
    head, *rows = (store / "index.csv").read_text().splitlines()
    at = [head.split(",").index(column) for column in ("low", "high")]
    cells = [row.split(",") for row in rows]
    for row in cells:
        row[at[0]], row[at[1]] = str(low), str(high)
    (folder / "index.csv").write_text("\n".join([head, *map(",".join, cells)]) + "\n")
    return folder


@pytest.mark.usefixtures("older_by_7")
def test_the_distance_to_the_other_networks_ages_is_said_of_each_split_and_of_all(bell: Path, store_path: Path) -> None:
    found = on_unlabelled([bell], [store_path], ["val", "test"])
    counts = [len(FaceStore.open(store_path).select(split)) for split in ("val", "test")]
    assert [(each.split, each.n) for each in found] == [
        ("val", counts[0]), ("test", counts[1]), ("all splits", sum(counts)),
    ]  # fmt: skip
    for each in found:
        assert each.agreement == pytest.approx(7, abs=1.5)
        assert each.low <= each.agreement <= each.high


@pytest.mark.usefixtures("older_by_7")
def test_an_answer_is_outside_below_the_label_and_six_years_above_it(
    bell: Path, store_path: Path, tmp_path: Path
) -> None:
    faces = FaceStore.open(store_path).select("val")
    ages = decoded(teacher_named(str(bell), SIZE).run(faces.faces(np.arange(len(faces)), SIZE)), "median")
    middle = int(np.sort(ages)[len(ages) // 2])
    for low, high in ((middle - 9, middle - 7), (0, 100)):
        store = without_ages(store_path, tmp_path / f"{low}", low, high)
        (found,) = on_unlabelled([bell], [store], ["val"])
        assert found.outside == pytest.approx(((ages < low) | (ages > high + 5)).mean())
    assert (ages < middle - 9).any()


@pytest.mark.usefixtures("older_by_7")
def test_the_command_says_a_line_for_each_model_and_split(bell: Path, store_path: Path) -> None:
    result = CliRunner().invoke(app, ["agreement", str(bell), "--store", str(store_path), "--split", "val"])
    assert result.exit_code == 0, result.output
    assert "years from the IMDB-WIKI network" in result.stdout
    assert result.stdout.count("faces of val") == 1


def test_splits_without_faces_and_models_of_two_sizes_are_errors(bell: Path, store_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="no faces of the splits holdout"):
        on_unlabelled([bell], [store_path], ["val", "holdout"])
    other = write_bell_model(tmp_path / "other", size=48)
    with pytest.raises(InvalidParameter, match=r"\[32, 48\] pixels"):
        on_unlabelled([bell, other], [store_path], ["val"])
