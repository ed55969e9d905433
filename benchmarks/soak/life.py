"""SIGTERM under load, and a start without any network."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections import Counter

from benchmarks.caller import Caller
from benchmarks.soak.pictures import portrait
from benchmarks.soak.pinned_server import serving
from benchmarks.soak.verdict import Verdict
from tests.server_process import ServerProcess


async def _loaded(served: ServerProcess, callers: int) -> tuple[Counter[str], int]:
    """Answers to callers that never stop, and the exit status of a SIGTERM in their midst."""
    answers: Counter[str] = Counter()
    busy = asyncio.Event()
    ended = asyncio.Event()

    async def call() -> None:
        async with Caller(served.port) as caller:
            while not ended.is_set():
                try:
                    answers[str((await caller.post("/predict", portrait(160))).status)] += 1
                except ConnectionRefusedError:
                    answers["refused"] += 1
                    return
                except (OSError, asyncio.IncompleteReadError) as error:
                    answers[_reading(error)] += 1
                if answers["200"] > 2 * callers:
                    busy.set()

    async def terminate() -> int:
        await busy.wait()
        served.signal()
        status = await asyncio.to_thread(served.end)
        ended.set()
        return status

    terminating = asyncio.create_task(terminate())
    await asyncio.gather(*(call() for _ in range(callers)))
    return answers, await terminating


def _reading(error: Exception) -> str:
    """Say whether an answer had begun: a connection that closes before is one whose request was not accepted."""
    return "broken answer" if isinstance(error, asyncio.IncompleteReadError) and error.partial else "not accepted"


def drain(times: int = 20) -> Verdict:
    """End the service under load and see that what it accepted was answered."""
    answers: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    lost = 0
    for _ in range(times):
        with serving() as served:
            seen, status = asyncio.run(_loaded(served, 16))
            done = sum(line.get("status") == 200 for line in served.logged() if line.get("route") == "/predict")
        lost += done - seen["200"]
        answers += seen
        statuses[status] += 1
    return Verdict(
        f"SIGTERM under load, {times} times",
        "no accepted request lost, exit 0",
        f"{dict(answers)}; answers made but not received: {lost}; exits {dict(statuses)}",
        lost == 0 and not answers["broken answer"] and not answers["500"] and set(statuses) == {0},
    )


def restarts(times: int = 200) -> Verdict:
    """Start the service and end it with SIGTERM, again and again: it never hangs and says nothing on stderr."""
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryFile() as stderr:
        for _ in range(times):
            with serving(stderr) as served:
                served.signal()
                statuses[served.end()] += 1
        stderr.seek(0)
        said = stderr.read().decode(errors="replace")
    return Verdict(
        f"start and SIGTERM, {times} times",
        "exit 0 each time, nothing on stderr",
        f"exits {dict(statuses)}; {len(said)} characters on stderr {said[:300]}".rstrip(),
        set(statuses) == {0} and not said,
    )


_INSIDE = """
import subprocess, sys, urllib.request
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
from benchmarks.soak.pictures import portrait
from benchmarks.soak.pinned_server import serving
with serving() as served:
    ask = urllib.request.Request(served.url + "/predict", portrait(), {"content-type": "image/jpeg"})
    faces = urllib.request.urlopen(ask).read().count(b'"box"')
    page = urllib.request.urlopen(served.url + "/docs").read().decode()
    sizes = [len(urllib.request.urlopen(f"{served.url}/docs/{name}").read())
             for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js")]
    sys.stdout.write(f"{faces} face, docs page of {sum(sizes):,} bytes, {page.count('http')} foreign addresses in it")
"""


def offline() -> Verdict:
    """Start in a network namespace that has nothing but loopback."""
    command = ["unshare", "--net", sys.executable, "-c", _INSIDE]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return Verdict(
        "network cut off (a namespace with loopback only)",
        "starts, serves, docs page comes whole",
        ended.stdout or ended.stderr[-300:],
        ended.returncode == 0 and "1 face" in ended.stdout and " 0 foreign" in ended.stdout,
    )
