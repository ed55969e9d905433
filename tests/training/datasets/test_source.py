import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from training.datasets.errors import DatasetError
from training.datasets.source import open_source

FILES = {"faces/a.jpg": b"first", "faces/deep/b c.PNG": b"second" * 1000, "list.txt": b"words"}
LITTER = {"__MACOSX/faces/a.jpg": b"x", "faces/.DS_Store": b"x"}


def as_folder(at: Path) -> Path:
    for name, data in (FILES | LITTER).items():
        file = at / "set" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return at / "set"


def as_zip(at: Path) -> Path:
    with zipfile.ZipFile(at / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("faces")
        for name, data in (FILES | LITTER).items():
            archive.writestr(name, data)
    return at / "set.zip"


def write_tar(path: Path, prefix: str = "./") -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in (FILES | LITTER).items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def as_tar(at: Path) -> Path:
    return write_tar(at / "set.tar")


def as_tar_gz(at: Path) -> Path:
    return write_tar(at / "set.tar.gz")


ways = pytest.mark.parametrize("write", [as_folder, as_zip, as_tar, as_tar_gz])


@ways
def test_every_kind_of_source_shows_the_same_files_without_litter(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    source = open_source(write(tmp_path))
    assert {name: source.read(name) for name in source.names} == FILES
    assert {name: source.size(name) for name in source.names} == {name: len(data) for name, data in FILES.items()}


@ways
def test_a_missing_file_is_an_os_error(write: Callable[[Path], Path], tmp_path: Path) -> None:
    source = open_source(write(tmp_path))
    with pytest.raises(FileNotFoundError):
        source.read("faces/none.jpg")
    with pytest.raises(FileNotFoundError):
        source.size("faces/none.jpg")


@ways
def test_a_source_travels_to_another_process_after_use(write: Callable[[Path], Path], tmp_path: Path) -> None:
    source = open_source(write(tmp_path))
    source.read("list.txt")
    assert pickle.loads(pickle.dumps(source)).read("list.txt") == b"words"  # noqa: S301 (our own bytes)


@ways
def test_threads_may_share_a_source(write: Callable[[Path], Path], tmp_path: Path) -> None:
    source = open_source(write(tmp_path))
    names = sorted(FILES) * 100
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, names)) == [FILES[name] for name in names]


def test_an_archive_in_a_folder_is_a_folder_of_its_name(tmp_path: Path) -> None:
    write_tar(tmp_path / "aligned.tar.gz", prefix="aligned/")
    source = open_source(tmp_path)
    assert source.read("aligned.tar.gz/aligned/list.txt") == b"words"
    assert source.size("aligned.tar.gz/aligned/list.txt") == 5
    assert "aligned.tar.gz" not in source.names


def test_an_archive_beside_its_unpacked_folder_is_not_read_twice(tmp_path: Path) -> None:
    as_folder(tmp_path)
    as_tar_gz(tmp_path)
    assert set(open_source(tmp_path).names) == {"set.tar.gz"} | {f"set/{name}" for name in FILES}


@pytest.mark.parametrize("write", [as_zip, as_tar, as_tar_gz])
def test_an_archive_cut_short_says_so(write: Callable[[Path], Path], tmp_path: Path) -> None:
    archive = write(tmp_path)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DatasetError, match=rf"{archive.name} is damaged"):
        _ = open_source(archive).names


def test_a_damaged_member_is_an_os_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.jpg", b"picture")
    path = tmp_path / "set.zip"
    path.write_bytes(path.read_bytes().replace(b"picture", b"pucture", 1))
    with pytest.raises(OSError, match="damaged"):
        open_source(path).read("a.jpg")


@pytest.mark.parametrize("name", ["nothing", "faces.rar"])
def test_what_is_no_source_is_told_what_would_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "faces.rar").touch()
    with pytest.raises(DatasetError, match=r"\.zip, \.tar, \.tar\.gz"):
        open_source(tmp_path / name)
