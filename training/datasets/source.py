"""Read a dataset's files from a folder, a .zip or a .tar archive.

An archive is never unpacked into a folder. A compressed tar cannot be read from the middle, so its first
use decompresses it once into an unnamed temporary file, which the system removes with the process.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import IO, Final, Protocol

from rich.console import Console
from rich.progress import Progress

from training.datasets.errors import DatasetError

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_DAMAGE: Final = (zipfile.BadZipFile, tarfile.ReadError, gzip.BadGzipFile, zlib.error, EOFError)


class Source(Protocol):
    """Files by name; names have `/` between their parts. May be used by several threads and sent to a process."""

    @property
    def root(self) -> Path:
        """The folder or archive."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all files, sorted, without hidden ones and what macOS leaves in archives."""

    def read(self, name: str) -> bytes:
        """Bytes of one file; OSError where there is none of this name, or it is damaged."""

    def size(self, name: str) -> int:
        """Length of one file in bytes, found without reading it; OSError where there is none of this name."""


def open_source(root: Path) -> Source:
    """Source for a folder or an archive; DatasetError where `root` is neither.

    A folder shows the archives that lie directly in it as folders named after them (`aligned.tar.gz/...`),
    except where the unpacked folder of that name (`aligned`) lies beside.
    """
    if root.is_dir():
        return Folder(root)
    if not root.exists():
        raise DatasetError(f"there is no {root}; give the dataset's folder or its archive ({', '.join(ARCHIVES)})")
    if not _is_archive(root.name):
        raise DatasetError(f"{root} is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    return ZipArchive(root) if root.name.lower().endswith(".zip") else TarArchive(root)


def pictures(source: Source) -> list[str]:
    """Names of all pictures in `source`, known by their suffix, sorted."""
    return [name for name in source.names if name.lower().endswith(PICTURES)]


class Folder:
    """A folder, with the archives that lie directly in it."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it is walked when names are first asked for."""
        self.root = root

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all files below the folder and inside its archives, sorted."""
        inside = (f"{folder}/{name}" for folder, archive in self._archives.items() for name in archive.names)
        files = (name for name in _files_below(self.root) if name not in self._archives)
        return _tidy([*files, *inside])

    def read(self, name: str) -> bytes:
        """Bytes of one file; OSError where there is none of this name."""
        folder, _, rest = name.partition("/")
        if rest and folder in self._archives:
            return self._archives[folder].read(rest)
        return (self.root / name).read_bytes()

    def size(self, name: str) -> int:
        """Length of one file in bytes; OSError where there is none of this name."""
        folder, _, rest = name.partition("/")
        if rest and folder in self._archives:
            return self._archives[folder].size(rest)
        return (self.root / name).stat().st_size

    @cached_property
    def _archives(self) -> dict[str, Source]:
        files = sorted(path for path in self.root.iterdir() if path.is_file() and _is_archive(path.name))
        return {path.name: open_source(path) for path in files if not _unpacked(path).is_dir()}

    def __reduce__(self) -> tuple[type[Folder], tuple[Path]]:
        """Pickle only the path; another process lists the folder itself."""
        return type(self), (self.root,)


class ZipArchive:
    """A .zip file without a password."""

    def __init__(self, root: Path) -> None:
        """Name the archive; it is opened when first used."""
        self.root = root

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all members that are files, sorted."""
        return _tidy(member.filename for member in self._zip.infolist() if not member.is_dir())

    def read(self, name: str) -> bytes:
        """Bytes of one member; OSError where there is none of this name, or it is damaged."""
        try:
            return self._zip.read(name)
        except KeyError:
            raise FileNotFoundError(f"{self.root} has no member {name!r}") from None
        except _DAMAGE as error:
            raise OSError(f"the member {name!r} of {self.root} is damaged: {error}") from error

    def size(self, name: str) -> int:
        """Length of one member in bytes, unpacked; OSError where there is none of this name."""
        try:
            return self._zip.getinfo(name).file_size
        except KeyError:
            raise FileNotFoundError(f"{self.root} has no member {name!r}") from None

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self.root)
        except _DAMAGE as error:
            raise DatasetError(f"{self.root} is damaged ({error}); fetch it again") from error
        if any(member.flag_bits & 1 for member in archive.infolist()):
            raise DatasetError(f"{self.root} needs a password; unpack it and give the folder")
        return archive

    def __reduce__(self) -> tuple[type[ZipArchive], tuple[Path]]:
        """Pickle only the path; another process opens the archive itself."""
        return type(self), (self.root,)


class TarArchive:
    """A .tar file, plain or compressed with gzip."""

    def __init__(self, root: Path) -> None:
        """Name the archive; it is opened when first used."""
        self.root = root
        self._lock = Lock()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all members that are files, sorted."""
        return _tidy(self._members)

    def read(self, name: str) -> bytes:
        """Bytes of one member; OSError where there is none of this name."""
        member = self._member(name)
        with self._lock:
            file = self._tar.extractfile(member)
            return file.read() if file else b""

    def size(self, name: str) -> int:
        """Length of one member in bytes; OSError where there is none of this name."""
        return self._member(name).size

    def _member(self, name: str) -> tarfile.TarInfo:
        member = self._members.get(name)
        if member is None:
            raise FileNotFoundError(f"{self.root} has no member {name!r}")
        return member

    @cached_property
    def _members(self) -> dict[str, tarfile.TarInfo]:
        return {member.name.removeprefix("./"): member for member in self._tar.getmembers() if member.isfile()}

    @cached_property
    def _tar(self) -> tarfile.TarFile:
        try:
            compressed = not self.root.name.lower().endswith(".tar")
            file = _decompressed(self.root) if compressed else self.root.open("rb")
            weakref.finalize(self, file.close)
            archive = tarfile.TarFile(fileobj=file)
            archive.getmembers()
        except _DAMAGE as error:
            raise DatasetError(f"{self.root} is damaged ({error}); fetch it again") from error
        return archive

    def __reduce__(self) -> tuple[type[TarArchive], tuple[Path]]:
        """Pickle only the path; another process opens the archive itself."""
        return type(self), (self.root,)


def _decompressed(path: Path) -> IO[bytes]:
    """Copy a gzip file, decompressed, into a temporary file; the bar counts compressed bytes."""
    with ExitStack() as on_failure:
        plain = on_failure.enter_context(tempfile.TemporaryFile())
        with (
            Progress(console=Console(stderr=True), transient=True) as bar,
            bar.open(path, "rb", description=path.name) as file,
            gzip.open(file) as tar,
        ):
            shutil.copyfileobj(tar, plain, 1 << 20)
        plain.seek(0)
        on_failure.pop_all()
        return plain


def _files_below(root: Path) -> list[str]:
    """Names of all files below `root`, through links to folders too."""
    found: list[str] = []
    for folder, _, files in os.walk(root, followlinks=True):
        prefix = Path(folder).relative_to(root).as_posix()
        found += files if prefix == "." else [f"{prefix}/{file}" for file in files]
    return found


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _unpacked(archive: Path) -> Path:
    """Name the folder that unpacking `archive` would usually make."""
    suffix = max((end for end in ARCHIVES if archive.name.lower().endswith(end)), key=len)
    return archive.with_name(archive.name[: -len(suffix)])


def _tidy(names: Iterable[str]) -> tuple[str, ...]:
    hidden = (".", "__MACOSX")
    return tuple(sorted(name for name in names if not any(part.startswith(hidden) for part in name.split("/"))))
