"""What `agelens predict --annotate` draws, and over which files it does not."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.cli.command import agelens
from tests.service.doubles import grey


def test_annotate_draws_at_the_face(folder: Path, photo: Path, tmp_path: Path, reply: dict[str, Any]) -> None:
    drawn = tmp_path / "drawn.png"
    assert agelens("predict", photo, "--models-dir", folder, "--annotate", drawn).exit_code == 0
    changed = np.abs(np.asarray(Image.open(drawn), int) - np.asarray(Image.open(photo), int)).sum(axis=2) > 0
    box = reply["faces"][0]["box"]
    rows, columns = np.nonzero(changed)
    assert columns.min() == pytest.approx(box["x"], abs=4)
    assert columns.max() == pytest.approx(box["x"] + box["width"], abs=4)
    assert rows.max() == pytest.approx(box["y"] + box["height"], abs=4)
    assert changed.mean() < 0.1


def test_annotate_keeps_who_may_read_the_file_it_replaces(folder: Path, photo: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    drawn.write_bytes(b"")
    drawn.chmod(0o640)
    assert agelens("predict", photo, "--models-dir", folder, "--annotate", drawn).exit_code == 0
    assert drawn.stat().st_mode & 0o777 == 0o640


def test_a_photo_that_is_decoded_smaller_is_drawn_as_it_is_decoded(
    folder: Path, photo: Path, tmp_path: Path, reply: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, drawn = tmp_path / "large.jpg", tmp_path / "drawn.png"
    Image.open(photo).resize((1024, 1024)).save(large, quality=95)
    monkeypatch.setenv("AGELENS_MAX_PIXELS", str(512 * 512))
    assert agelens("predict", large, "--models-dir", folder, "--annotate", drawn).exit_code == 0
    changed = np.abs(np.asarray(Image.open(drawn), int) - np.asarray(Image.open(photo), int)).sum(axis=2) > 100
    columns = np.nonzero(changed)[1]
    box = reply["faces"][0]["box"]
    assert columns.min() == pytest.approx(box["x"], abs=8)
    assert columns.max() == pytest.approx(box["x"] + box["width"], abs=8)


def test_a_photo_that_only_xmp_turns_is_drawn_upright(folder: Path, tmp_path: Path) -> None:
    lying, drawn = tmp_path / "lying.jpg", tmp_path / "drawn.png"
    Image.new("RGB", (300, 200), "grey").save(lying, xmp=b'<x:xmpmeta><x tiff:Orientation="6"/></x:xmpmeta>')
    assert agelens("predict", lying, "--no-detect", "--models-dir", folder, "--annotate", drawn).exit_code == 0
    with Image.open(drawn) as image:
        assert image.size == (200, 300)


@pytest.mark.parametrize("name", ["s.png", "sub/../s.png", "link.png", "hard.png"])
def test_the_photograph_is_not_drawn_over(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    photo = tmp_path / "s.png"
    photo.write_bytes(grey(51))
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "hard.png").hardlink_to(photo)
    words = ("--no-detect", "--models-dir", folder, "--annotate", tmp_path / name)
    result = agelens("predict", photo, *words)
    assert (result.exit_code, photo.read_bytes() == grey(51)) == (2, True)
    assert "is the photograph itself; name another file, such as " in result.stderr
    command = [sys.executable, "-m", "service.cli.main", "predict", "-", *map(str, words)]
    with photo.open("rb") as stream:
        assert subprocess.run(command, check=False, capture_output=True, stdin=stream).returncode == 2
    assert photo.read_bytes() == grey(51)


def test_a_drawing_that_fails_leaves_the_file_before_it(folder: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.webp"
    drawn.write_bytes(b"before")
    wide = io.BytesIO()
    Image.new("L", (17_000, 20), 51).save(wide, "PNG")
    words = ("predict", "-", "--no-detect", "--models-dir", folder, "--annotate", drawn)
    result = agelens(*words, stdin=wide.getvalue())
    assert (result.exit_code, drawn.read_bytes(), list(tmp_path.iterdir())) == (1, b"before", [drawn])
    assert "17000 x 20 pixels" in result.stdout
    assert "drawn.webp cannot be written: " in result.stderr
    assert "16383" in result.stderr


def test_a_drawing_goes_where_its_link_leads(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "drawn.png")
    words = ("predict", "-", "--no-detect", "--models-dir", folder, "--annotate", tmp_path / "link.png")
    assert agelens(*words, stdin=grey(51)).exit_code == 0
    assert ((tmp_path / "link.png").is_symlink(), (tmp_path / "drawn.png").is_file()) == (True, True)
