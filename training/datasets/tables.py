"""Delimited text with a header line, as the datasets publish their labels."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Final, Literal

from training.datasets.errors import DatasetError
from training.datasets.sample import OLDEST

Row = dict[str, str]
_SEXES: Final = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female", "woman": "female"}


def read_table(data: bytes, name: str, needed: Iterable[str], delimiter: str = ",") -> list[Row]:
    """Rows by column; a short row has empty texts. DatasetError where the header lacks a `needed` column.

    Tab-separated text knows no quotes: a quotation mark there is part of a name.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    text = io.StringIO(data.decode("utf-8-sig", errors="replace"), newline="")
    reader = csv.DictReader(text, delimiter=delimiter, quoting=quoting, restval="", skipinitialspace=True)
    columns = [(column or "").strip() for column in reader.fieldnames or ()]
    missing = sorted(set(needed) - set(columns))
    if missing:
        raise DatasetError(f"{name} lacks the column(s) {', '.join(missing)}; its first line has {', '.join(columns)}")
    reader.fieldnames = columns
    return [{column: row[column].strip() for column in columns} for row in reader]


def parse_sex(text: str) -> str | None:
    """`male`, `female`, or None for anything else."""
    return _SEXES.get(text.strip().lower())


_NUMBER: Final = r"([0-9]{1,3})(?:\.[0-9]+)?"
_EXACT: Final = re.compile(_NUMBER)
_RANGE: Final = re.compile(rf"[(\[]?\s*{_NUMBER}\s*[,_-]\s*{_NUMBER}\s*[)\]]?")
_OPEN: Final = re.compile(rf"{_NUMBER}\s*\+")


def parse_ages(text: str) -> tuple[int, int] | None:
    """Lowest and highest age in whole years, both included; None where the text says no age within 0..100.

    A fraction of a year is cut off, as people count their age. An open end reaches to 100.
    """
    text = text.strip()
    if match := _EXACT.fullmatch(text):
        low = high = int(match[1])
    elif match := _RANGE.fullmatch(text):
        low, high = int(match[1]), int(match[2])
    elif match := _OPEN.fullmatch(text):
        low, high = int(match[1]), OLDEST
    else:
        return None
    return (low, high) if low <= high <= OLDEST else None
