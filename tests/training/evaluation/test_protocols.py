"""Published protocols, run from files in the official format to their figure."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from service.errors import InvalidParameter
from tests.pictures import jpeg, pasted
from tests.training.tiny_run import SIZE, tiny_recipe
from training.cli.main import app
from training.data.store import FaceStore
from training.data.synthetic import synthetic_store
from training.datasets import DatasetError, read
from training.evaluation.protocols import people_left_out, run_protocol, summarised
from training.fit.checkpoint import Checkpoint

PEOPLE = ("001", "002", "003", "004")

TINY: Final = ("--recipe", "smoke", "--set", "backbone=two_convolutions", "--set", f"size={SIZE}")
TINY_STEPS: Final = ("--set", "batch_size=4", "--set", "stages.epochs=1", "--set", "checkpoint_steps=1")


def fgnet(root: Path) -> Path:
    """Write FG-NET's tree with a portrait of each person at two ages, and a picture without a face."""
    (root / "FGNET" / "images").mkdir(parents=True)
    for i, person in enumerate(PEOPLE):
        for age in (5 + i, 40 + i):
            picture = jpeg(pasted(150 + age, 5 * i, i))
            (root / "FGNET" / "images" / f"{person}A{age:02}.JPG").write_bytes(picture)
    return root


def test_each_person_of_fgnet_is_left_out_once_and_a_broken_run_goes_on(tmp_path: Path) -> None:
    root, run = fgnet(tmp_path / "fgnet"), tmp_path / "run"
    recipe = tiny_recipe(epochs=1)
    found = json.loads(run_protocol("fgnet-lopo", root, run, recipe, workers=1).read_text())
    errors = {person: json.loads((run / person / "result.json").read_text())["errors"] for person in PEOPLE}
    assert [len(each) for each in errors.values()] == [2, 2, 2, 2]
    assert found["photographs"] == 8
    assert found["mae"] == pytest.approx(sum(map(sum, errors.values())) / 8, abs=1e-3)
    for person in PEOPLE:
        splits = splits_in(run / person)
        assert {file for file, split in splits.items() if split == "test"} == {
            name for name in splits if name.startswith(person)
        }
        assert len(splits) == 8
        assert splits_read("fgnet", root, run / person) == splits
    (run / "003" / "result.json").unlink()
    before = {person: (run / person / "best.weights.h5").stat().st_mtime_ns for person in PEOPLE}
    assert json.loads(run_protocol("fgnet-lopo", root, run, recipe, workers=1).read_text()) == found
    after = {person: (run / person / "best.weights.h5").stat().st_mtime_ns for person in PEOPLE}
    assert {person for person in PEOPLE if after[person] != before[person]} == {"003"}
    with pytest.raises(InvalidParameter, match="begun with another recipe"):
        run_protocol("fgnet-lopo", root, run, tiny_recipe(epochs=2), workers=1)


def photograph(number: int) -> bytes:
    """Return a JPEG with one face; each number gives another."""
    return jpeg(pasted(150 + 3 * number, 5 * number, number))


def utkface(folder: Path, *, swapped: bool = False) -> tuple[Path, tuple[str, ...], set[str]]:
    """Write UTKFace's chips and CORAL's lists: 16 for training, 3 for test, and a child whom they leave out.

    Returns the archive, options of the command, and the names of the pictures that are reported.
    """
    chips = [f"{21 + 2 * i}_{i % 2}_{i % 5}_201701161745{i:05}.jpg.chip.jpg" for i in range(19)]
    lists = folder / "lists"
    lists.mkdir(parents=True, exist_ok=True)
    test = chips[:3] if swapped else chips[16:]
    for split, names in (("train", [name for name in chips if name not in test]), ("test", test)):
        rows = [f"{i},{name},{int(name.partition('_')[0]) - 21}" for i, name in enumerate(names)]
        (lists / f"utk_{split}.csv").write_text("\n".join([",file,age", *rows]) + "\n")
    with zipfile.ZipFile(folder / "utkface.zip", "w") as archive:
        for i, name in enumerate([*chips, "5_0_0_20170116174525125.jpg.chip.jpg"]):
            archive.writestr(f"UTKFace/{name}", photograph(i))
    return folder / "utkface.zip", ("--option", f"lists={lists}"), set(test)


def all_age_faces(folder: Path, *, swapped: bool = False) -> tuple[Path, tuple[str, ...], set[str]]:
    """Write All-Age-Faces with its lists of 13 and 3 pictures; see `utkface` for what is returned."""
    names = [f"{7375 + i:05}A{2 + 4 * i:02}.jpg" for i in range(16)]
    val = names[:3] if swapped else names[13:]
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "aaf.zip", "w") as archive:
        for split, listed in (("train", [name for name in names if name not in val]), ("val", val)):
            lines = [f"{name} {int(name[:5] > '07380')}\r\n" for name in listed]
            archive.writestr(f"All-Age-Faces Dataset/image sets/{split}.txt", "".join(lines))
        for i, name in enumerate(names):
            archive.writestr(f"All-Age-Faces Dataset/original images/{name}", photograph(i))
            archive.writestr(f"All-Age-Faces Dataset/aglined faces/{name}", b"not read")
        for i in range(16, 32):  # in neither list
            archive.writestr(f"All-Age-Faces Dataset/original images/{7375 + i:05}A{2 + i:02}.jpg", photograph(i))
    return folder / "aaf.zip", (), set(val)


def splits_in(folder: Path) -> dict[str, str]:
    """Return each picture's split from a fold's split file."""
    with (folder / "split.csv").open(newline="") as stream:
        return {row["file"]: row["split"] for row in csv.DictReader(stream)}


def splits_read(dataset: str, root: Path, fold: Path) -> dict[str, str | None]:
    """Return each picture's split, as `prepare --index` reads the fold's file."""
    return {sample.name: sample.split for sample in read(dataset, root, fold / "split.csv").samples}


@pytest.mark.parametrize(
    ("protocol", "dataset", "published"),
    [("utkface-21-60", "utkface", utkface), ("all-age-faces", "all_age_faces", all_age_faces)],
)
def test_a_protocol_of_published_lists_goes_on_where_it_was_cut_off_to_its_figure(
    protocol: str,
    dataset: str,
    published: Callable[..., tuple[Path, tuple[str, ...], set[str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, options, names = published(tmp_path / "published")
    run = tmp_path / "run"
    words = ["protocol", protocol, str(root), *options, *TINY, *TINY_STEPS, "--workers", "1", "--run", str(run)]
    save, steps, cut_at = Checkpoint.save, list[int](), [1]

    def save_and_be_cut_off(checkpoint: Checkpoint, folder: Path) -> None:
        save(checkpoint, folder)
        steps.append(checkpoint.progress.total_steps)
        if steps[-1] in cut_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_be_cut_off)
    assert CliRunner().invoke(app, words).exit_code != 0
    assert (steps, (run / "result.json").exists()) == ([1], False)

    cut_at.clear()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert steps[1] == 2, "it began again instead of going on"
    found = json.loads((run / "result.json").read_text())
    assert f"{json.dumps(found, indent=1)}\n{run / 'result.json'}" in done.stdout
    measured = json.loads((run / "all" / "result.json").read_text())
    assert {Path(file).name for file in measured["files"]} == names
    assert (found["protocol"], found["photographs"], found["folds"]) == (protocol, 3, 1)
    assert found["mae"] == pytest.approx(sum(measured["errors"]) / 3, abs=1e-3)
    splits = splits_in(run / "all")
    assert {name for name, split in splits.items() if split == "test"} == names
    assert "val" in splits.values()
    assert splits_read(dataset, root, run / "all") == splits
    assert found["photographs_in_no_list"] == {"utkface-21-60": 1, "all-age-faces": 16}[protocol]

    trained = len(steps)
    again = CliRunner().invoke(app, words)
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert len(steps) == trained, "it trained what was done"
    published(tmp_path / "published", swapped=True)
    other = CliRunner().invoke(app, words)
    assert (other.exit_code, "other splits" in other.output) == (1, True)


def test_without_the_published_lists_there_is_no_figure(tmp_path: Path) -> None:
    root, _, _ = utkface(tmp_path)
    with pytest.raises(DatasetError, match=r"utkface-21-60 needs .* --option lists=FOLDER"):
        run_protocol("utkface-21-60", root, tmp_path / "run", tiny_recipe())
    (tmp_path / "original images").mkdir()
    (tmp_path / "original images" / "00000A02.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"has no image sets/train\.txt"):
        run_protocol("all-age-faces", tmp_path, tmp_path / "run", tiny_recipe())
    assert not (tmp_path / "run").exists()


def test_nobody_who_is_left_out_is_learnt_from(tmp_path: Path) -> None:
    store = FaceStore.open(synthetic_store(tmp_path / "drawn", 60, size=32, bleed=6))
    rows = tuple({**row, "subject": f"{i % 12:03}"} for i, row in enumerate(store.rows))
    folds = people_left_out(FaceStore(store.source, store.faces, rows, store.crop, store.bleed))
    assert len(folds) == 12
    for person, fold in folds.items():
        people = {split: {row["subject"] for row in fold.select(split).rows} for split in ("train", "val", "calib")}
        assert {row["subject"] for row in fold.select("test").rows} == {person}
        assert sum(len(each) for each in people.values()) == 11
        assert person not in set.union(*people.values())
        assert all(people.values())


def test_the_figure_is_over_photographs_and_over_people() -> None:
    found = summarised({"001": [1.0, 1.0, 1.0], "002": [9.0]})
    assert (found["mae"], found["mae_mean_of_folds"], found["cs5"]) == (3.0, 5.0, 0.75)
    assert found["mae_by_fold"] == {"001": 1.0, "002": 9.0}


def test_an_unknown_protocol_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"no protocol 'morph'; choose one of fgnet-lopo, utkface-21-60"):
        run_protocol("morph", tmp_path, tmp_path, tiny_recipe())
