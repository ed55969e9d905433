"""Output that cannot be written, and input that is closed."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.output import OutputLost, checked_stdout
from service.cli.photos import read_photo
from service.errors import CorruptPicture
from service.scoring.folder import Entry
from tests.server_process import ROOT


@pytest.mark.parametrize("words", [("settings",), ("models",), ("models", "--json"), ("predict", "--json", "PHOTO")])
def test_output_that_cannot_be_written_is_one_line(folder: Path, photo: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "service.cli.main", *(str(photo) if word == "PHOTO" else word for word in words)]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, "AGELENS_MODELS_DIR": str(folder)},
        )
    assert ended.returncode == 1
    assert ended.stderr == "agelens: standard output cannot be written: No space left on device\n"


class FullForAWhile(io.StringIO):
    """Has no room for the first line."""

    def write(self, text: str) -> int:
        if text == "lost":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_output_goes_on_where_a_lost_line_was_got_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As logs do, once a full disk has room again."""
    stream = FullForAWhile()
    monkeypatch.setattr(sys, "stdout", stream)
    with checked_stdout():
        with pytest.raises(OutputLost, match="No space left"):
            sys.stdout.write("lost")
        sys.stdout.write("kept")
    assert stream.getvalue() == "kept"


def test_another_error_is_not_taken_for_lost_output() -> None:
    with pytest.raises(OSError, match="Too many open files"), checked_stdout():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorruptPicture, match="standard input is closed"):
        read_photo(Entry("-", "-"))


def test_nothing_is_written_to_stderr(folder: Path, photo: Path) -> None:
    command = [sys.executable, "-m", "service.cli.main", "predict", str(photo), "--models-dir", str(folder)]
    assert subprocess.run(command, check=True, capture_output=True).stderr == b""
