"""Ages as people write them: `35`, `35.0`, `(25, 32)`, `25-32`, `60+`."""

from __future__ import annotations

import re
from typing import Final

from training.datasets.sample import OLDEST

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
