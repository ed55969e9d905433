"""The photographs that the command line names: files, folders, patterns and standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from service.errors import CorruptPicture, InvalidParameter
from service.inference.decoding.formats import NOT_READ, SUFFIXES

STANDARD_INPUT: Final = "-"


def find_photos(words: Sequence[str]) -> list[str]:
    """Return the paths that `words` name, in order; raise InvalidParameter for one without pictures."""
    return [path for word in words for path in _named(word)]


def read_photo(path: str) -> bytes:
    """Return the bytes of a photograph; raise CorruptPicture if it cannot be read."""
    if path == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CorruptPicture(f"cannot be read: {error.strerror}") from error


def _named(word: str) -> Iterator[str]:
    path = Path(word)
    if "://" in word or path.suffix.lower() == ".parquet":
        raise InvalidParameter(f"{word}: tables and object stores are read by `agelens score`")
    if path.is_dir():
        found = sorted(str(file) for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    elif glob.has_magic(word) and not path.exists():
        found = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - pathlib takes no absolute patterns
    else:
        found = [word]
    if not found:
        endings = ", ".join(sorted(SUFFIXES - NOT_READ.keys()))
        raise InvalidParameter(f"{word}: no picture found; file names must end in {endings}")
    yield from found
