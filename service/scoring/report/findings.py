"""Statistics of an archive's rows, in memory that does not grow with it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

from service.inference.distribution import AGES
from service.scoring.job import Format
from service.scoring.parts import columns_in
from service.scoring.rows import ERROR, NO_FACE

WIDEST: Final = 30
FAILED: Final = 50
"""Photographs that are listed for each reason."""
NOBODY: Final = 200
FOLDERS: Final = 500

Entry = TypeVar("Entry", bound=Any)


class Fact(NamedTuple):
    """What the report needs of a row."""

    id: str
    status: str
    error: str | None
    detail: str | None
    face: int | None
    age: float
    low: int
    high: int


class Uncertain(NamedTuple):
    """The face of a photograph with the widest interval; the width is negative, so that the widest comes first."""

    negative_width: int
    id: str
    face: int
    age: float
    low: int
    high: int


class Shortlist(Generic[Entry]):
    """Counts entries and keeps those that sort first, in order."""

    def __init__(self, most: int) -> None:
        """Keep at most so many."""
        self.most = most
        self.count = 0
        self.kept: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Count an entry, and keep it if it sorts among the first `most`."""
        self.count += 1
        insort(self.kept, entry)
        del self.kept[self.most :]


@dataclass(slots=True)
class Counts:
    """Photographs, faces and their ages in whole years."""

    pictures: int = 0
    faces: int = 0
    empty: int = 0
    failures: int = 0
    ages: list[int] = field(default_factory=lambda: [0] * AGES)

    def add_picture(self, rows: Sequence[Fact]) -> None:
        """Count one photograph's rows."""
        status = rows[0].status
        self.pictures += 1
        if status == ERROR:
            self.failures += 1
        elif status == NO_FACE:
            self.empty += 1
        else:
            self.faces += len(rows)
            for row in rows:
                self.ages[min(int(row.age), AGES - 1)] += 1

    def merge(self, other: Counts) -> None:
        """Add what another counted."""
        self.pictures += other.pictures
        self.faces += other.faces
        self.empty += other.empty
        self.failures += other.failures
        self.ages = [mine + more for mine, more in zip(self.ages, other.ages, strict=True)]

    def quantile(self, share: float) -> int | None:
        """Return the whole years that this share of the faces do not exceed, or None without a face."""
        if not self.faces:
            return None
        return next(age for age, below in enumerate(accumulate(self.ages)) if below >= share * self.faces)


class Folders:
    """Counts by folder; if there are too many, the deepest are merged into their parents."""

    def __init__(self, most: int = FOLDERS) -> None:
        """Keep at most so many."""
        self._most = most
        self._counts: dict[tuple[str, ...], Counts] = {}
        self.depth: int | None = None

    def add_picture(self, rows: Sequence[Fact]) -> None:
        """Count one photograph in its folder."""
        where = tuple(rows[0].id.split("/")[:-1])[: self.depth]
        self._counts.setdefault(where, Counts()).add_picture(rows)
        while len(self._counts) > self._most:
            self._fold()

    def __iter__(self) -> Iterator[tuple[str, Counts]]:
        """Yield folders by name; "" stands for photographs in no folder."""
        yield from ((_joined(where), counts) for where, counts in sorted(self._counts.items()))

    def _fold(self) -> None:
        self.depth = max(map(len, self._counts)) - 1
        counted, self._counts = self._counts, {}
        for where, counts in counted.items():
            self._counts.setdefault(where[: self.depth], Counts()).merge(counts)


class Findings:
    """Everything that the report says of the photographs."""

    def __init__(self) -> None:
        """Start empty."""
        self.all = Counts()
        self.folders = Folders()
        self.widest: Shortlist[Uncertain] = Shortlist(WIDEST)
        self.failed: dict[str, Shortlist[tuple[str, str]]] = {}
        self.nobody: Shortlist[str] = Shortlist(NOBODY)

    def add(self, facts: Iterable[Fact]) -> None:
        """Add a part's rows, those of each photograph together."""
        for _, grouped in groupby(facts, key=lambda fact: fact.id):
            rows = list(grouped)
            self.all.add_picture(rows)
            self.folders.add_picture(rows)
            self._list(rows)

    def _list(self, rows: Sequence[Fact]) -> None:
        first = rows[0]
        if first.status == ERROR:
            reason = first.error or "unknown"
            self.failed.setdefault(reason, Shortlist(FAILED)).add((first.id, first.detail or ""))
        elif first.status == NO_FACE:
            self.nobody.add(first.id)
        else:
            self.widest.add(min(_uncertain(row) for row in rows))


def facts_in(part: Path, fmt: Format) -> Iterator[Fact]:
    """Read what the report needs of each row of a part; raise CorruptPicture naming one that cannot be read."""
    table = columns_in(part, fmt, "id", "status", "error", "detail", "face", "age", "interval")
    names = ["id", "status", "error", "detail", "face", "age", "interval_low", "interval_high"]
    columns = [table[name].to_pylist() for name in names]
    return map(Fact._make, zip(*columns, strict=True))


def _uncertain(row: Fact) -> Uncertain:
    return Uncertain(row.low - row.high, row.id, row.face or 0, row.age, row.low, row.high)


def _joined(where: tuple[str, ...]) -> str:
    return "/".join(where) or ("/" if where else "")
