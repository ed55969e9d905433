"""Good callers beside one that sends the dearest pictures of every kind."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, repeat
from statistics import median

import numpy as np

from benchmarks.caller import Caller
from benchmarks.soak.adversarial import KINDS, adversarial
from benchmarks.soak.pictures import SIDES, bombs, mutated, portrait
from benchmarks.soak.pinned_server import serving
from benchmarks.soak.verdict import Verdict
from tests.server_process import ServerProcess

GOOD_CALLERS = 2
GOOD_EVERY_S = 0.5
HOSTILE_EVERY_S = 1.0
"""A hostile caller who sends more is what the rate limit of a key is for."""


@dataclass(slots=True)
class Seen:
    """Seconds of good answers, statuses of good and of hostile ones, what was lost, the slowest, and memory."""

    seconds: list[float] = field(default_factory=list)
    good: Counter[int] = field(default_factory=Counter)
    hostile: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    memory: list[int] = field(default_factory=list)

    @property
    def p99_s(self) -> float:
        return float(np.quantile(self.seconds, 0.99))


async def _good(port: int, until: float, seen: Seen) -> None:
    async with Caller(port) as caller:
        for number in range(10**9):
            if time.perf_counter() >= until:
                return
            began = time.perf_counter()
            try:
                answer = await caller.post("/predict", portrait(SIDES[number % len(SIDES)]))
                seen.good[answer.status] += 1
                seen.seconds.append(answer.seconds)
            except (OSError, asyncio.IncompleteReadError) as error:
                seen.lost[f"good: {type(error).__name__}"] += 1
            await asyncio.sleep(max(0.0, began + GOOD_EVERY_S - time.perf_counter()))


async def _hostile(
    served: ServerProcess,
    pictures: Iterable[tuple[str, bytes]],
    seen: Seen,
    until: float = math.inf,
    every_s: float = 0.0,
) -> None:
    async with Caller(served.port) as caller:
        for name, picture in pictures:
            if time.perf_counter() >= until:
                return
            began = time.perf_counter()
            try:
                answer = await caller.post("/predict", picture, "application/octet-stream")
                seen.hostile[answer.status] += 1
                seen.slowest = max(seen.slowest, (answer.seconds, name))
            except (OSError, asyncio.IncompleteReadError) as error:
                seen.lost[f"{name}: {type(error).__name__}"] += 1
            seen.memory.append(served.resident_bytes(family=True))
            await asyncio.sleep(max(0.0, began + every_s - time.perf_counter()))


async def _run(served: ServerProcess, minutes: float) -> tuple[Seen, Seen, float, float]:
    pictures = [*adversarial(2 * len(KINDS)), *bombs().items()]
    broken = [("broken", picture) for picture in mutated(20)]
    await _good(served.port, time.perf_counter() + 10, Seen())
    alone, beside = Seen(), Seen()
    until = time.perf_counter() + max(30.0, 6 * minutes)
    await asyncio.gather(*(_good(served.port, until, alone) for _ in range(GOOD_CALLERS)))
    # Warm: each picture several times, so that the decoder of either thread has had its largest.
    await _hostile(served, pictures * 3, Seen())
    early = await _settled(served, broken)
    until = time.perf_counter() + 60 * minutes
    endless = chain.from_iterable(repeat([*pictures, *broken]))
    await asyncio.gather(
        *(_good(served.port, until, beside) for _ in range(GOOD_CALLERS)),
        _hostile(served, endless, beside, until, HOSTILE_EVERY_S),
    )
    return alone, beside, early, await _settled(served, broken)


async def _settled(served: ServerProcess, pictures: list[tuple[str, bytes]]) -> float:
    """Return the median of the memory after each of some small pictures: the large ones before them are freed."""
    seen = Seen()
    await _hostile(served, pictures, seen)
    return median(seen.memory)


def beside_hostile(minutes: float = 30) -> Verdict:
    """Send good pictures at an even pace, and one of a hostile kind each second."""
    with serving(threads=2) as served:
        alone, beside, early, late = asyncio.run(_run(served, minutes))
        served.signal()
        status = served.end()
    factor = beside.p99_s / alone.p99_s
    lost = alone.lost + beside.lost
    return Verdict(
        f"{len(KINDS)} kinds of hostile pictures among good ones, {minutes:g} minutes",
        "good pictures' p99 ≤ 3 × unloaded, all answered; no 5xx; memory ≤ 1.10 × after warm-up",
        f"p99 {alone.p99_s * 1e3:.0f} → {beside.p99_s * 1e3:.0f} ms = {factor:.1f} ×; good {dict(beside.good)}, "
        f"lost {dict(lost)}; "
        f"hostile {dict(sorted(beside.hostile.items()))}, slowest {beside.slowest[0]:.1f} s ({beside.slowest[1]}); "
        f"{early / 2**20:.0f} → {late / 2**20:.0f} MB = {late / early:.2f} ×; exit {status}",
        factor <= 3
        and set(beside.good) == {200}
        and not lost
        and max(beside.hostile) < 500
        and late <= 1.1 * early
        and not status,
    )
