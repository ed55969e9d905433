"""Broken pictures, bombs, and requests made up from the OpenAPI document."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.caller import Caller
from benchmarks.soak.adversarial import KINDS, adversarial
from benchmarks.soak.load import ends, post_all
from benchmarks.soak.pictures import bombs, mutated, portrait
from benchmarks.soak.pinned_server import serving
from benchmarks.soak.verdict import Verdict

CONTRACT = Path(__file__).with_name("schemathesis.toml").resolve()


def mutations(count: int = 100_000) -> Verdict:
    """Send pictures that are broken at random, once decoders have had their largest pictures.

    malloc keeps some megabytes of what a large picture has freed. Such pictures are rare among these: without those of
    the warm-up, memory would go on growing by steps, ever more seldom, without anything being lost.
    """
    largest = [picture for _, picture in adversarial(2 * len(KINDS))]
    with serving() as served:
        # One at a time, so that none is refused for the others' sake.
        asyncio.run(post_all(served, largest, len(largest), callers=1))
        statuses, samples = asyncio.run(post_all(served, mutated(count), max(1, count // 50), family=True))
        served.signal()
        status = served.end()
    early, late = ends(samples)
    tenths = " ".join(
        f"{ends(samples[at:])[0] / 2**20:.0f}" for at in range(0, len(samples), max(1, len(samples) // 10))
    )
    return Verdict(
        f"{count:,} mutated pictures of all formats",
        "no 5xx, no crash, memory grows < 5 % after a warm-up",
        f"{dict(sorted(statuses.items()))}; {tenths} MB ({late / early - 1:+.1%}); exit {status}",
        max(statuses) < 500 and late < 1.05 * early and status == 0,
    )


async def _refusals(port: int, name: str, picture: bytes) -> tuple[str, int, float]:
    async with Caller(port) as caller:
        answer = await caller.post("/predict", picture, "application/octet-stream")
        return name, answer.status, answer.seconds


def bomb_refusals() -> Verdict:
    """Send small files that claim enormous pictures."""
    with serving() as served:
        asyncio.run(_refusals(served.port, "warm", portrait()))
        served.forget_peak()
        before = served.peak_bytes()
        found = [asyncio.run(_refusals(served.port, name, bomb)) for name, bomb in bombs().items()]
        extra = served.peak_bytes() - before
    slowest = max(seconds for *_, seconds in found)
    said = ", ".join(f"{name} {status}" for name, status, _ in found)
    return Verdict(
        "bombs of up to 65,000² pixels",
        "refused in < 100 ms each, < 10 MB extra memory",
        f"{said}; slowest {slowest * 1e3:.0f} ms; {extra / 2**20:.1f} MB",
        all(400 <= status < 500 for _, status, _ in found) and slowest < 0.1 and extra < 10 * 2**20,
    )


def contract(examples: int = 300) -> Verdict:
    """Let schemathesis make requests up from the document, with all of its checks."""
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--checks=all", f"--max-examples={examples}", "--no-color", "--continue-on-failure"]
    with serving() as served, tempfile.TemporaryDirectory() as folder:
        command = [str(program), "--config-file", str(CONTRACT), "run", f"{served.url}/openapi.json", *options]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.stderr.write(ended.stdout)
    cases = re.search(r"(\d[\d,]*) generated.*", ended.stdout)
    return Verdict(
        "requests made up from the OpenAPI document",
        "no 5xx, no undocumented status or schema",
        cases[0] if cases else f"schemathesis ended with {ended.returncode}",
        ended.returncode == 0,
    )
