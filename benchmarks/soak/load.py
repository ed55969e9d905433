"""Overload, slow callers, a long run, and the same picture under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from statistics import median

from benchmarks.caller import Caller
from benchmarks.soak.pictures import SIDES, portrait
from benchmarks.soak.pinned_server import serving
from benchmarks.soak.verdict import Verdict
from tests.server_process import ServerProcess


async def _closed_loop(port: int, callers: int, seconds: float) -> float:
    """Good answers per second that so many callers get who each wait for their answer."""
    until = time.perf_counter() + seconds
    good = 0

    async def call() -> None:
        nonlocal good
        async with Caller(port) as caller:
            while time.perf_counter() < until:
                answer = await caller.post("/predict", portrait())
                good += answer.status == 200  # not in one line: `good` would be read before the wait

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return good / (time.perf_counter() - began)


async def _flood(port: int, rate: float, callers: int, seconds: float) -> tuple[Counter[str], list[float]]:
    """Answers by status to `rate` requests a second, and how long probes took meanwhile."""
    until = time.perf_counter() + seconds
    answers: Counter[str] = Counter()
    probes: list[float] = []

    async def call(index: int) -> None:
        at = time.perf_counter() + index / rate
        async with Caller(port) as caller:
            while at < until:
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                try:
                    answers[str((await caller.post("/predict", portrait())).status)] += 1
                except (OSError, asyncio.IncompleteReadError) as error:
                    answers[type(error).__name__] += 1
                at = max(at + callers / rate, time.perf_counter())

    async def probe() -> None:
        async with Caller(port) as caller:
            for turn in count():
                if time.perf_counter() >= until:
                    return
                path = "/metrics" if turn % 10 == 0 else ("/health/live", "/health/ready")[turn % 2]
                answer = await caller.get(path)
                probes.append(answer.seconds)
                await asyncio.sleep(0.1)

    await asyncio.gather(probe(), *(call(index) for index in range(callers)))
    return answers, probes


async def _overload(port: int, seconds: float) -> tuple[float, float, Counter[str], list[float]]:
    await _closed_loop(port, 4, seconds / 6)
    alone = await _closed_loop(port, 4, seconds / 3)
    began = time.perf_counter()
    answers, probes = await _flood(port, 10 * alone, 200, seconds)
    return alone, answers["200"] / (time.perf_counter() - began), answers, probes


def overload(seconds: float = 60) -> Verdict:
    """Send ten times what the service can do, by 200 callers."""
    with serving() as served:
        alone, accepted, answers, probes = asyncio.run(_overload(served.port, seconds))
    foreign = set(answers) - {"200", "503", "504"}
    slowest = max(probes)
    return Verdict(
        "overload: 200 clients, ten times capacity",
        "only 200, 503, 504; accepted ≥ 90 % of unloaded; probes < 100 ms",
        f"{dict(answers)}; {accepted:.1f}/s of {alone:.1f}/s = {accepted / alone:.0%}; "
        f"probes median {median(probes) * 1e3:.0f}, max {slowest * 1e3:.0f} ms",
        not foreign and accepted >= 0.9 * alone and slowest < 0.1,
    )


async def post_all(
    served: ServerProcess, pictures: Iterable[bytes], sample_every: int, *, family: bool = False, callers: int = 4
) -> tuple[Counter[int], list[int]]:
    """Return the statuses of pictures that so many callers send, and the memory before every so many of them."""
    statuses: Counter[int] = Counter()
    samples: list[int] = []
    numbered = enumerate(pictures)

    async def call() -> None:
        async with Caller(served.port) as caller:
            for number, picture in numbered:
                if number % sample_every == 0:
                    samples.append(served.resident_bytes(family=family))
                statuses[(await caller.post("/predict", picture, "application/octet-stream")).status] += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    return statuses, samples


def ends(samples: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the first and the last fifth: one sample may catch a picture that is being decoded."""
    fifth = max(1, len(samples) // 5)
    return median(samples[:fifth]), median(samples[-fifth:])


def _mixed(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield portrait(SIDES[number % len(SIDES)], ("JPEG", "PNG", "WEBP")[number // 7 % 3])


def soak(count: int = 20_000) -> Verdict:
    """Send good pictures for a long time and see whether memory stays."""
    with serving() as served:
        statuses, (_, early, *_) = asyncio.run(post_all(served, _mixed(count), count // 20))
        late = served.resident_bytes()
    return Verdict(
        f"soak: {count:,} good requests of mixed sizes",
        "memory ≤ 1.10 × after the first twentieth",
        f"{dict(statuses)}; {early / 2**20:.0f} → {late / 2**20:.0f} MB = {late / early:.2f} ×",
        set(statuses) == {200} and late <= 1.10 * early,
    )


async def _slow(port: int, count: int) -> None:
    """Hold connections that send a byte of their head now and then, and open them again when they are closed."""

    async def hold() -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"POST /predict HTTP/1.1\r\nhost: a\r\nx: ")
                closed = asyncio.create_task(reader.read())
                while not closed.done():
                    writer.write(b"a")
                    await asyncio.wait([closed], timeout=1)
                writer.close()
                await closed

    await asyncio.gather(*(hold() for _ in range(count)))


async def _latencies(port: int, seconds: float) -> list[float]:
    until = time.perf_counter() + seconds
    async with Caller(port) as caller:
        found = []
        while time.perf_counter() < until:
            answer = await caller.post("/predict", portrait())
            assert answer.status == 200, answer
            found.append(answer.seconds)
    return found


async def _beside_slow(port: int, count: int, seconds: float) -> tuple[float, float]:
    await _latencies(port, seconds / 4)
    alone = median(await _latencies(port, seconds))
    slow = asyncio.create_task(_slow(port, count))
    await asyncio.sleep(1)
    beside = median(await _latencies(port, seconds))
    slow.cancel()
    return alone, beside


def slow_clients(count: int = 500, seconds: float = 20) -> Verdict:
    """Hold connections open and see what good callers notice."""
    with serving() as served:
        alone, beside = asyncio.run(_beside_slow(served.port, count, seconds))
    return Verdict(
        f"{count} slow clients holding connections",
        "good clients' p50 within 1.5 ×",
        f"{alone * 1e3:.1f} → {beside * 1e3:.1f} ms = {beside / alone:.2f} ×",
        beside <= 1.5 * alone,
    )


async def _faces(port: int, callers: int) -> list[object]:
    async def ask() -> list[object]:
        async with Caller(port) as caller:
            answers = [await caller.post("/predict", portrait(side)) for side in SIDES]
            return [json.loads(answer.body).get("faces", answer.status) for answer in answers]

    return await asyncio.gather(*(ask() for _ in range(callers)))


def same_answer(callers: int = 32) -> Verdict:
    """Ask for the same pictures alone and beside many others."""
    with serving(threads=2, queue_size=1000) as served:
        (alone,) = asyncio.run(_faces(served.port, 1))
        crowd = asyncio.run(_faces(served.port, callers))
    different = sum(faces != alone for faces in crowd)
    return Verdict(
        "the same picture under load and alone",
        "bit-identical faces",
        f"{different} of {callers} sets of {len(SIDES)} differ",
        different == 0,
    )
