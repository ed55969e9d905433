"""Rows of a CSV table on a disk or in an object store, each as a dictionary of texts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

import pyarrow as pa

from service.errors import InvalidParameter
from service.scoring.storage import open_bytes

CSV_SUFFIX: Final = ".csv"
BEYOND: Final = "\0"
"""Key of the cells beyond the header's, which no column is named."""
_SEPARATORS: Final = ",;\t"
"""The most frequent one in the first line, outside quotes, separates the columns; a comma if there is none."""
_TOLD: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""A line that Excel reads and writes before the header."""
_QUOTED: Final = re.compile('"[^"]*"')


def csv_columns(where: str) -> list[str]:
    """Return the names in the first line; raise InvalidParameter if the file cannot be read as CSV."""
    with _opened(where) as reader:
        return list(reader.fieldnames or ())


def csv_records(where: str) -> Iterator[dict[str, Any]]:
    """Yield the rows, blank lines left out; raise InvalidParameter if the file cannot be read as CSV."""
    with _opened(where) as reader:
        yield from reader


@contextmanager
def _opened(where: str) -> Iterator[csv.DictReader[str]]:
    try:
        with open_bytes(where) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            first = text.readline()
            if told := _TOLD.fullmatch(first):
                separator, first = told[1], text.readline()
            else:
                separator = max(_SEPARATORS, key=_QUOTED.sub("", first).count)
            # Strict: a quotation mark that is never closed would take all rows below for one path.
            reader = csv.DictReader(chain([first], text), restkey=BEYOND, delimiter=separator, strict=True)
            yield reader
    except csv.Error as error:
        line = reader.line_num + (2 if told else 1)
        raise InvalidParameter(
            f"{where} cannot be read as CSV: the row that begins at line {line}: {error}; is a quotation mark missing?"
        ) from error
    except (OSError, pa.ArrowException, UnicodeError) as error:
        raise InvalidParameter(f"{where} cannot be read as CSV: {error}") from error
