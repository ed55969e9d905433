"""What a measurement says: the bar, the figures, and whether they clear it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table that is printed at the end."""

    what: str
    bar: str
    measured: str
    good: bool
