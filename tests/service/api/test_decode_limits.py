"""Pictures that would hold or starve the service: refused by their price, or stopped. Rows of the attacks' table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.soak import adversarial, adversarial_jpeg
from service.runtime.decoder_process import PROGRAM
from tests.server_process import ServerProcess, run_server
from tests.service.doubles import grey, load_double
from tests.service.hanging_decoder import COMPUTES, CRASHES, WAITS
from tests.service.hanging_server import SERVE_HANGING
from tests.service.running import LiveServer


@pytest.fixture(scope="module")
def guarded(models_dir: Path) -> Iterator[httpx.Client]:
    """A client of a server that decodes as the real one does, with half of the default memory."""
    with (
        LiveServer(load_double(models_dir, decoders=PROGRAM), threads=2, max_decode_mb=512) as server,
        server.client() as client,
    ):
        yield client


REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "1a: progressive JPEG of many scans": (adversarial_jpeg.progressive_empty_scans, 413, "AGELENS_MAX_DECODE_S"),
    "1a: progressive JPEG of long runs": (adversarial_jpeg.progressive_runs, 413, "AGELENS_MAX_DECODE_S"),
    "1a: sequential JPEG of many scans": (
        lambda: adversarial_jpeg.sequential_scans(1000),
        413,
        "AGELENS_MAX_DECODE_S",
    ),
    "1b: TIFF tiles beyond the picture": (lambda: adversarial.tiff_tiles(100, 1000), 415, "TIFF files are not read"),
    "1c: BMP of run-length codes": (adversarial.bmp_rows, 415, "BMP files are not read"),
    "1d: PNG of private chunks": (lambda: adversarial.png_private_chunks(1_600_000), 413, "chunks"),
    "1d: JPEG of empty segments": (adversarial_jpeg.jpeg_segments, 413, "segments"),
    "2: WebP canvas of many frames": (adversarial.webp_frames, 413, "AGELENS_MAX_DECODE_MB"),
    "2: TIFF of one huge tile": (lambda: adversarial.tiff_tiles(1, 1_000_000), 415, "TIFF files are not read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_row_is_refused_by_the_name_of_its_limit(guarded: httpx.Client, name: str) -> None:
    make, status, said = REFUSED[name]
    reply = guarded.post("/predict", files={"file": make()})
    assert (reply.status_code, said in reply.json()["detail"]) == (status, True), reply.text


def test_one_decode_too_long_fails_alone_in_a_batch(guarded: httpx.Client) -> None:
    pictures = [grey(51), adversarial_jpeg.progressive_runs(), grey(102)]
    reply = guarded.post("/predict/batch", files=[("files", picture) for picture in pictures]).json()
    assert [each["status"] for each in reply["results"]] == ["ok", "error", "ok"]


@contextmanager
def hanging_server(models_dir: Path, **settings: Any) -> Iterator[tuple[ServerProcess, ThreadPoolExecutor]]:
    with run_server([*SERVE_HANGING, str(models_dir)], **settings) as server, ThreadPoolExecutor(8) as pool:
        yield server, pool


def post(server: ServerProcess, picture: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/predict", files={"file": picture}, timeout=90)


def ready(server: ServerProcess) -> bool:
    return httpx.get(f"{server.url}/health/ready", timeout=90).status_code == 200


def age_of(reply: httpx.Response) -> float:
    age: float = reply.json()["faces"][0]["age"]
    return age


def test_row_1e_decoders_that_never_return_in_all_threads_cost_the_service_nothing_lasting(models_dir: Path) -> None:
    with hanging_server(models_dir, threads=2, deadline_s=4, stuck_after_s=1) as (server, pool):
        hanging = [pool.submit(post, server, grey(side=WAITS)) for _ in range(2)]
        while ready(server):
            pass
        good: list[Future[httpx.Response]] = [pool.submit(post, server, grey(51)) for _ in range(4)]
        assert [each.result().status_code for each in hanging] == [504, 504]
        while not ready(server):
            pass
        assert {each.result().status_code for each in good} <= {200, 504}
        assert age_of(post(server, grey(51))) == pytest.approx(20, abs=1e-4)
        server.signal()
        assert server.end() == 0


def test_decoders_that_compute_for_ever_are_stopped_under_load_and_good_pictures_answered(models_dir: Path) -> None:
    with hanging_server(models_dir, threads=2, max_decode_s=0.2, deadline_s=60) as (server, pool):
        hanging = [pool.submit(post, server, grey(side=COMPUTES)) for _ in range(4)]
        good = [pool.submit(post, server, grey(51)) for _ in range(12)]
        assert [age_of(each.result()) for each in good] == [pytest.approx(20, abs=1e-4)] * 12
        assert [each.result().status_code for each in hanging] == [413] * 4
        assert ready(server)
        server.signal()
        assert server.end() == 0


def test_work_whose_callers_had_their_answer_does_not_hold_the_drain_up(models_dir: Path) -> None:
    with hanging_server(models_dir, threads=2, deadline_s=2, drain_grace_s=600) as (server, pool):
        hanging = [pool.submit(post, server, grey(side=WAITS)) for _ in range(2)]
        assert [each.result().status_code for each in hanging] == [504, 504]
        server.signal()
        assert server.end() == 0


def test_picture_that_breaks_its_decoder_is_a_422_and_the_next_one_is_answered(models_dir: Path) -> None:
    with hanging_server(models_dir) as (server, _):
        broken = post(server, grey(side=CRASHES))
        assert (broken.status_code, "crashed its decoder" in broken.json()["detail"]) == (422, True)
        assert age_of(post(server, grey(51))) == pytest.approx(20, abs=1e-4)
