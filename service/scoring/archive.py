"""The output folder: the options it was begun with, the lock of its writer, and the photographs in it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.atomic_write import atomic_write
from service.errors import InvalidParameter, InvalidSetting
from service.inference.options import PredictOptions
from service.scoring.job import NOT_SCORED, Chunk, Fault, Format, Item
from service.scoring.parts import finished_parts, ids_in, part_name, sweep, writing
from service.settings import Settings

AGREEMENT: Final = "score.json"
_LOCK: Final = ".lock"
_DIGEST_BYTES: Final = 16
_FRESH: Final = 1 << 16
LIMITS: Final = ("max_pixels", "max_decode_s", "max_decode_mb")
"""Settings that make pictures failures, and large ones smaller: they may change when failures are tried again."""
_NOTED: Final = (*LIMITS, "max_views")
NAMED: Final = 5
"""Most names that are listed for each reason why something was not scored."""
CHUNK_BYTES: Final = 32 * 2**20
"""Bytes of pictures from a table after which a chunk is full."""


class SeenIds:
    """A set of ids that takes 16 bytes per id."""

    def __init__(self) -> None:
        """Start empty."""
        self._sorted = np.empty(0, f"S{_DIGEST_BYTES}")
        self._fresh: set[bytes] = set()

    def __len__(self) -> int:
        """Count the ids."""
        return len(self._sorted) + len(self._fresh)

    def add(self, ident: str) -> bool:
        """Remember an id, and say whether it is new."""
        digest = hashlib.blake2b(ident.encode(), digest_size=_DIGEST_BYTES).digest()
        if digest in self._fresh or self._is_sorted_in(digest):
            return False
        self._fresh.add(digest)
        if len(self._fresh) >= max(_FRESH, len(self._sorted) // 4):
            fresh = np.frombuffer(b"".join(self._fresh), self._sorted.dtype)
            self._sorted = np.sort(np.concatenate([self._sorted, fresh]))
            self._fresh.clear()
        return True

    def _is_sorted_in(self, digest: bytes) -> bool:
        key = np.frombuffer(digest, self._sorted.dtype)
        place = int(np.searchsorted(self._sorted, key)[0])
        return place < len(self._sorted) and self._sorted[place] == key[0]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the folder and lock it for this process; raise InvalidSetting if another one has locked it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"another `agelens score` writes to {folder}; wait for it or choose another"
            raise InvalidSetting(message) from error
        with writing(folder):
            sweep(folder)
        yield


def agree(
    folder: Path,
    terms: Mapping[str, Any],
    chunk_size: int,
    numbered: Mapping[str, str] | None = None,
    *,
    retries: bool = False,
) -> int:
    """Create `score.json`, or check that it matches this command; return its chunk size.

    `numbered` has the fingerprints of the tables whose rows are named by number; tables may be added and left out. With
    `retries`, `LIMITS` may be others than before. Raises InvalidParameter naming what differs: the rows of two models,
    or two tables, must not be mixed.
    """
    path = folder / AGREEMENT
    tables: dict[str, str] | None = {}
    written = ""
    if path.is_file():
        written, before, tables, chunk_size = _noted(path)
        _refuse_others(folder, before, terms, LIMITS if retries else ())
    numbered = numbered or {}
    for name, told in numbered.items():
        if tables is None or tables.get(name, told) != told:
            raise InvalidParameter(
                f"{folder} holds rows of {name} by their numbers, perhaps of other content: the table was changed, or "
                "an older version scored it; choose another --output"
            )
    text = json.dumps({**terms, "tables": {**(tables or {}), **numbered}, "chunk_size": chunk_size}, indent=2) + "\n"
    if text != written:
        with writing(folder), atomic_write(path) as partial:
            partial.write_text(text)
    return chunk_size


def _noted(path: Path) -> tuple[str, dict[str, Any], dict[str, str] | None, int]:
    """Return the text of `score.json`, its terms, its tables or None if an older version wrote it, and the chunk size.

    Raises InvalidSetting if the file is something else.
    """
    try:
        text = path.read_text()
        terms = json.loads(text)
        size, tables = int(terms.pop("chunk_size")), terms.pop("tables", None)
        return text, terms, None if tables is None else dict(tables), size
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise InvalidSetting(
            f"{path} is not what `agelens score` wrote there; delete the folder or choose another --output"
        ) from error


def _refuse_others(folder: Path, before: Mapping[str, Any], terms: Mapping[str, Any], free: Sequence[str]) -> None:
    then, now = _flat(before), _flat(json.loads(json.dumps(terms)))
    differ = [name for name in sorted({*then, *now} - {*free}) if then.get(name) != now.get(name)]
    if differ:
        named = "; ".join(f"{name} was {then.get(name)}, is {now.get(name)}" for name in differ)
        retry = " or, to try failures under other limits, add --retry-failures" if {*differ} <= {*LIMITS} else ""
        raise InvalidParameter(f"{folder} holds results of another command: {named}; choose another --output{retry}")


def _flat(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Put options and limits among the terms; those unknown to an older version count as their defaults."""
    others = {name: value for name, value in terms.items() if name not in {"options", "limits"}}
    limits = {name: Settings.model_fields[name].default for name in _NOTED}
    options = PredictOptions().model_dump(mode="json")
    return {**others, **limits, **terms.get("limits", {}), **options, **terms.get("options", {})}


def limits_in(settings: Settings) -> dict[str, Any]:
    """Return the limits that rows depend on, by their names in the settings."""
    return {name: getattr(settings, name) for name in _NOTED}


@dataclass(slots=True)
class NotScored:
    """Photographs that could not be scored for one reason: how many, and the ids of the first."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, ident: str) -> None:
        """Count one."""
        self.count += 1
        if self.count <= NAMED:
            self.first.append(ident)


@dataclass(slots=True)
class Finished:
    """The photographs of an archive, how many of them failed, and those that failed for a reason of `NOT_SCORED`."""

    ids: SeenIds = field(default_factory=SeenIds)
    failures: int = 0
    not_scored: dict[str, NotScored] = field(default_factory=dict)


def finished(folder: Path, fmt: Format) -> Finished:
    """Read what is in the parts; raise InvalidParameter if a photograph is in two of them."""
    found = Finished()
    for part in finished_parts(folder, fmt):
        for ident, reason in ids_in(part, fmt):
            if not found.ids.add(ident):
                raise InvalidParameter(f"{ident} is in {part.name} and in another part; delete one of them")
            found.failures += reason is not None
            if reason in NOT_SCORED:
                found.not_scored.setdefault(reason, NotScored()).add(ident)
    return found


def chunks(items: Iterable[Item], seen: SeenIds, size: int, fmt: Format) -> Iterator[Chunk]:
    """Yield the photographs that are not in `seen` yet, in chunks of `size`; they are in it afterwards."""
    chosen: list[Item] = []
    weight = 0
    for item in _with_unique_ids(items):
        if not seen.add(item.id):
            continue
        chosen.append(item)
        weight += len(item.data or b"")
        if len(chosen) == size or weight >= CHUNK_BYTES:
            yield _chunk(chosen, fmt)
            chosen, weight = [], 0
    if chosen:
        yield _chunk(chosen, fmt)


def _chunk(items: list[Item], fmt: Format) -> Chunk:
    ids = [item.id for item in items]
    return Chunk(
        part=part_name(ids, fmt),
        ids=ids,
        paths=[item.path for item in items],
        data=[item.data for item in items],
        faults=[list(item.fault) if item.fault else None for item in items],
    )


def _with_unique_ids(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the photographs; one whose id is taken becomes a failure under another name, so that none is lost."""
    given = SeenIds()
    for item in items:
        if given.add(item.id):
            yield item
            continue
        name = item.place or f"{item.id}#again"
        while not given.add(name):
            name += "#again"
        fault = Fault("repeated-id", f"the id {item.id} is that of an earlier photograph")
        yield Item(name, None, fault=item.fault or fault)
