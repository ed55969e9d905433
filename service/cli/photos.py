"""The photographs that the command line names: files, folders, patterns and standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Final

from service.errors import CorruptPicture, InvalidParameter
from service.inference.decoding.formats import NOT_READ, SUFFIXES
from service.scoring.folder import Entry, files_in, read_file

STANDARD_INPUT: Final = "-"


def find_photos(words: Sequence[str]) -> list[Entry]:
    """Return the files that `words` name, in order; raise InvalidParameter for one without pictures."""
    return [photo for word in words for photo in _named(word)]


def read_photo(photo: Entry) -> bytes:
    """Return the bytes of a photograph; raise CorruptPicture if it cannot be read."""
    if photo.where == STANDARD_INPUT:
        if sys.stdin is None:
            raise CorruptPicture("cannot be read: standard input is closed")
        return sys.stdin.buffer.read()
    if photo.fault:
        raise CorruptPicture(f"cannot be read: {photo.fault.detail}")
    try:
        path = Path(photo.where)
        if path.exists() and not path.is_file():
            raise CorruptPicture("cannot be read: not a file; a pipe is read from standard input, as -")
        return read_file(path)
    except OSError as error:
        raise CorruptPicture(f"cannot be read: {error.strerror}") from error


def _named(word: str) -> Iterator[Entry]:
    if not word:
        raise InvalidParameter("PHOTO is empty; name a file or folder, or . for the folder you are in")
    path = Path(word)
    if "://" in word or path.suffix.lower() == ".parquet":
        raise InvalidParameter(f"{word}: tables and object stores are read by `agelens score`")
    try:
        if path.is_dir():
            found = sorted(files_in(path, _is_picture), key=lambda each: each.where)
        elif glob.has_magic(word) and not path.exists():
            matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - pathlib takes no absolute patterns
            found = [Entry(match, match) for match in matches if not Path(match).is_dir()]
        else:
            found = [Entry(word, word)]
    except OSError as error:
        raise InvalidParameter(f"{word}: cannot be read: {error.strerror}") from error
    if not found:
        endings = ", ".join(sorted(SUFFIXES - NOT_READ.keys()))
        raise InvalidParameter(f"{word}: no picture found; file names must end in {endings}")
    yield from found


def _is_picture(name: str) -> bool:
    return PurePath(name).suffix.lower() in SUFFIXES
