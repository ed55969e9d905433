"""Clients that post one prepared request again and again: as fast as they are answered, or at an even rate."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.bound import CONTENT_TYPE, form
from benchmarks.caller import Caller, post_request

WARM_UP: Final = 5


async def _post(caller: Caller, request: bytes) -> float:
    """Post once and return the seconds it took; end the program where the answer is not 200."""
    answer = await caller.ask(request)
    if answer.status != 200:
        raise SystemExit(f"the server answered {answer.status}: {answer.body[:500]!r}")
    return answer.seconds


async def saturate(port: int, request: bytes, clients: int, seconds: float) -> tuple[list[float], float]:
    """Let `clients` post one after the other; return latencies and the seconds they took together."""
    callers = [Caller(port) for _ in range(clients)]
    for _ in range(WARM_UP):
        await _post(callers[0], request)
    latencies: list[float] = []
    began = time.perf_counter()

    async def go_on(caller: Caller) -> None:
        async with caller:
            while time.perf_counter() < began + seconds:
                latencies.append(await _post(caller, request))

    await asyncio.gather(*(go_on(caller) for caller in callers))
    return latencies, time.perf_counter() - began


async def paced(port: int, request: bytes, per_second: float, seconds: float) -> tuple[list[float], float]:
    """Post at even intervals whether or not answers are there; a latency counts from when its turn was."""
    free: asyncio.Queue[Caller] = asyncio.Queue()
    count = int(per_second * seconds)
    for _ in range(min(count, 64)):
        caller = Caller(port)
        await _post(caller, request)
        free.put_nowait(caller)
    began = time.perf_counter()

    async def turn(number: int) -> float:
        due = began + number / per_second
        await asyncio.sleep(due - time.perf_counter())
        caller = await free.get()
        await _post(caller, request)
        free.put_nowait(caller)
        return time.perf_counter() - due

    latencies = await asyncio.gather(*(turn(number) for number in range(count)))
    return list(latencies), time.perf_counter() - began


def main() -> None:
    """PORT PICTURE saturate CLIENTS SECONDS, or PORT PICTURE paced PER_SECOND SECONDS; print latencies as JSON."""
    port, picture, how, amount, seconds = sys.argv[1:]
    request = post_request("/predict", form(Path(picture).read_bytes()), CONTENT_TYPE.decode())
    if how == "saturate":
        latencies, took = asyncio.run(saturate(int(port), request, int(amount), float(seconds)))
    else:
        latencies, took = asyncio.run(paced(int(port), request, float(amount), float(seconds)))
    sys.stdout.write(json.dumps({"latencies_ms": [value * 1e3 for value in latencies], "seconds": took}) + "\n")


if __name__ == "__main__":
    main()
