"""Standard output whose failure is told from all other errors of input and output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

from service.errors import SetupError


class OutputLost(SetupError):
    """Standard output cannot be written."""


class _Checked:
    """A text stream that raises OutputLost where it cannot be written; BrokenPipeError stays, as of `| head`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _lost(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _lost(error) from error


def _lost(error: OSError) -> OutputLost:
    return OutputLost(f"standard output cannot be written: {error.strerror or error}")


@contextmanager
def checked_stdout() -> Iterator[None]:
    """Raise OutputLost where the block's standard output cannot be written, also at its end.

    What is buffered then goes nowhere, or Python would try again at its end. Who catches the error, as logging does
    while a disk is full, writes on as soon as there is room.
    """
    if sys.stdout is None:
        yield
        return
    checked = _Checked(sys.stdout)
    try:
        with redirect_stdout(cast("TextIO", checked)):
            yield
            checked.flush()
    except OutputLost:
        os.dup2(os.open(os.devnull, os.O_WRONLY), checked.fileno())
        raise
