"""What docs/deploying.md states of memory holds for the real service under the hungriest pictures that are allowed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from benchmarks.soak import adversarial, adversarial_jpeg
from tests.server_process import ROOT, ServerProcess, run_server

THREADS, DECODE_MB, BODIES_MB = 4, 400, 64

HUNGRY: dict[str, Callable[[], bytes]] = {
    "RGBA PNG": lambda: adversarial.flat_png(5000),
    "16-bit grey PNG": lambda: adversarial.flat_png(5000, 0, 16),
    "progressive JPEG": lambda: adversarial_jpeg.sampled((0x11,) * 3, 4000),
    "WebP canvas": lambda: adversarial.webp_frames(1, 1000, 4600),
    "WebP canvas of two frames": lambda: adversarial.webp_frames(2, 1000, 4600),
    "WebP canvas of three": lambda: adversarial.webp_frames(3, 1000, 4600),
    "WebP canvas of four": lambda: adversarial.webp_frames(4, 1000, 4600),
    "lossless WebP": lambda: adversarial_jpeg.stripes(3000, 3000, "WEBP", lossless=True, method=0),
    "AVIF": lambda: adversarial_jpeg.stripes(2000, 2000, "AVIF", speed=10),
}


def resident_mb(server: ServerProcess) -> float:
    """Memory of the process and all that it started, each shared page counted once."""
    rollups = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in server.family()]
    return (
        sum(int(found[1]) for rollup in rollups if (found := re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE))) / 1024
    )


class Watch:
    """Looks at the memory as often as it can until it is left."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = 0
        self.peak_mb = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):  # a process ended between the list and the look
                self.peak_mb = max(self.peak_mb, resident_mb(self._server))
                self.looks += 1


def stated_mb() -> float:
    """The document's formula with this test's settings."""
    text = (ROOT / "docs" / "deploying.md").read_text()
    formula = re.search(r"(\d+) MB \+ (\d+) MB × `AGELENS_THREADS` \+ `AGELENS_MAX_BUFFERED_BYTES`", text)
    assert formula, "docs/deploying.md states no formula"
    return int(formula[1]) + int(formula[2]) * THREADS + BODIES_MB + DECODE_MB


def test_no_set_of_allowed_pictures_takes_more_memory_than_is_stated() -> None:
    pictures = {name: make() for name, make in HUNGRY.items()}
    settings: dict[str, Any] = {
        "threads": THREADS,
        "max_decode_mb": DECODE_MB,
        "max_decode_s": 20,
        "deadline_s": 300,
        "max_buffered_bytes": BODIES_MB * 2**20,
        "max_batch_bytes": BODIES_MB * 2**20,
    }
    with run_server(**settings) as server, ThreadPoolExecutor(2 * len(pictures)) as pool:
        idle = resident_mb(server)

        def post(picture: bytes) -> int:
            return httpx.post(f"{server.url}/predict", files={"file": picture}, timeout=400).status_code

        with Watch(server) as watch:
            statuses = list(pool.map(post, [*pictures.values()] * 3))
        server.stop()
    assert dict(zip([*pictures] * 3, statuses, strict=True)) == dict.fromkeys(pictures, 200)

    assert watch.looks > 50
    assert idle + DECODE_MB / 4 < watch.peak_mb <= stated_mb()
