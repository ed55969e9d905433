"""What `agelens-train datasets` and `prepare` say of a folder of faces."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tests.pictures import astronaut, coffee, jpeg, pasted
from training.cli.main import app


def faces(root: Path) -> Path:
    """Write two copies of one portrait with contradicting ages, another, a broken picture and one without a face."""
    root.mkdir()
    rows = ["again.jpg,60", "broken.jpg,30", "cup.jpg,30", "face.jpg,30", "other.jpg,50"]
    (root / "labels.csv").write_text("\n".join(["file,age", *rows]))
    for name in ("again.jpg", "face.jpg"):
        (root / name).write_bytes(jpeg(astronaut()))
    (root / "other.jpg").write_bytes(jpeg(pasted(200, 10, 10)))
    (root / "cup.jpg").write_bytes(jpeg(coffee()))
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def said(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_datasets_names_unreadable_pictures_and_duplicates_of_other_ages(tmp_path: Path) -> None:
    table = said("datasets", "own", str(faces(tmp_path / "faces")))
    assert "own: 4 samples" in table
    assert "not a readable picture" in table
    assert "broken.jpg" in table
    assert "duplicates with contradicting ages" in table
    assert "again.jpg" in table


def test_prepare_counts_faces_after_looking_for_them(tmp_path: Path) -> None:
    out = tmp_path / "store"
    table = said("prepare", "own", str(faces(tmp_path / "faces")), "--out", str(out), "--workers", "1")
    assert "own: 3 samples" in table
    assert "no face found" in table
    assert "cup.jpg" in table
    assert table.replace("\n", " ").endswith(f"3 faces in {out} ")
