"""Adience from real fold files, with faces in a folder or in the published archive."""

import tarfile
from pathlib import Path

import pytest

from training.datasets import DatasetError, Listing, Sample, read

HEADER = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tfiducial_yaw_angle\tfiducial_score"


def write_fold(root: Path, fold: str, rows: list[tuple[str, str, str, str]]) -> None:
    """Write one fold of rows (user, face, age, sex), and its faces."""
    lines = [f"{user}\t{face}_o.jpg\t{face}\t{age}\t{sex}\t0\t0\t9\t9\t0\t0\t50" for user, face, age, sex in rows]
    (root / f"fold_{fold}_data.txt").write_text("\n".join([HEADER, *lines]) + "\n")
    for user, face, _, _ in rows:
        for folder, alignment in (("faces", "coarse_tilt"), ("aligned", "landmark")):
            (root / folder / user).mkdir(parents=True, exist_ok=True)
            (root / folder / user / f"{alignment}_aligned_face.{face}.{face}_o.jpg").write_bytes(b"picture")


def five_folds(root: Path) -> Path:
    for fold in range(5):
        write_fold(root, str(fold), [(f"{fold}@N03", "1", "(25, 32)", "f")])
    return root


def one_row(root: Path, age: str, sex: str = "m") -> Listing:
    write_fold(root, "0", [("7@N01", "9", age, sex)])
    return read("adience", root)


@pytest.mark.parametrize("group", [(0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100)])
def test_a_group_becomes_an_interval(group: tuple[int, int], tmp_path: Path) -> None:
    found = one_row(tmp_path, str(group))
    path = "faces/7@N01/coarse_tilt_aligned_face.9.9_o.jpg"
    assert found.samples == [Sample(path, *group, subject="7@N01", sex="male")]
    assert not found.noted


@pytest.mark.parametrize(
    ("label", "ages"), [("35", (35, 35)), ("(38, 48)", (38, 48)), ("(27, 32)", (27, 32)), ("2", (2, 2))]
)
def test_odd_labels_are_kept_as_written_and_noted(label: str, ages: tuple[int, int], tmp_path: Path) -> None:
    found = one_row(tmp_path, label)
    assert [(s.low, s.high) for s in found.samples] == [ages]
    assert found.noted == {f"the label {label} is none of the eight groups, kept as it is": 1}


@pytest.mark.parametrize(
    ("label", "named"), [("None", "None"), ("", "empty"), ("(32, 25)", r"(32, 25)"), ("old", "old")]
)
def test_labels_without_an_age_are_rejected_by_name(label: str, named: str, tmp_path: Path) -> None:
    found = one_row(tmp_path, label)
    assert found.rejected == {f"the label {named} says no age": 1}
    assert not found.samples


@pytest.mark.parametrize(("text", "sex"), [("f", "female"), ("m", "male"), ("u", None), ("", None)])
def test_sex_is_known_or_not(text: str, sex: str | None, tmp_path: Path) -> None:
    assert one_row(tmp_path, "(4, 6)", text).samples[0].sex == sex


def test_folds_become_splits(tmp_path: Path) -> None:
    found = read("adience", five_folds(tmp_path), test_fold="4", val_fold=0)
    assert [s.split for s in found.samples] == ["val", "train", "train", "train", "test"]


def test_without_a_test_fold_no_split_is_set(tmp_path: Path) -> None:
    assert {s.split for s in read("adience", five_folds(tmp_path)).samples} == {None}


def test_a_fold_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no fold 5 .* there are \[0, 1, 2, 3, 4\]"):
        read("adience", five_folds(tmp_path), test_fold=5)


def test_frontal_lists_are_other_files(tmp_path: Path) -> None:
    five_folds(tmp_path)
    write_fold(tmp_path, "frontal_3", [("3@N03", "1", "(25, 32)", "f")])
    assert [s.subject for s in read("adience", tmp_path, frontal=True).samples] == ["3@N03"]


def test_the_other_alignment_is_an_option(tmp_path: Path) -> None:
    found = read("adience", five_folds(tmp_path), alignment="landmark")
    assert found.samples[0].path == "aligned/0@N03/landmark_aligned_face.1.1_o.jpg"


def test_a_face_is_used_once_and_missing_ones_are_named(tmp_path: Path) -> None:
    write_fold(tmp_path, "0", [("7@N01", "9", "(4, 6)", "m"), ("7@N01", "9", "(8, 12)", "m")])
    found = read("adience", tmp_path)
    assert [(s.low, s.high) for s in found.samples] == [(4, 6)]
    assert found.rejected == {"in a fold, but there is no such picture": 1}


def test_a_quotation_mark_is_part_of_a_name(tmp_path: Path) -> None:
    write_fold(tmp_path, "0", [("7@N01", '"9', "(4, 6)", "m"), ("7@N01", "8", "(8, 12)", "m")])
    assert len(read("adience", tmp_path).samples) == 2


def test_faces_are_read_from_the_published_archive(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    five_folds(made)
    for fold in made.glob("fold_*.txt"):
        fold.rename(tmp_path / fold.name)
    with tarfile.open(tmp_path / "faces.tar.gz", "w:gz") as archive:
        archive.add(made / "faces", "faces")
    for file in sorted(made.rglob("*.jpg")):
        file.unlink()
    found = read("adience", tmp_path)
    assert [found.open(s.path) for s in found.samples] == [b"picture"] * 5


def test_without_folds_the_error_names_the_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"fold_N_data\.txt"):
        read("adience", tmp_path)


def test_a_fold_without_its_columns_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "fold_0_data.txt").write_text("user_id\tage\n7@N01\t(4, 6)\n")
    with pytest.raises(DatasetError, match=r"lacks the column.* face_id, gender, original_image"):
        read("adience", tmp_path)
