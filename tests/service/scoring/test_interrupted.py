"""`agelens score` when it or its workers are killed or interrupted, as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from rich.console import Console

from service.errors import InvalidSetting
from service.scoring.archive import locked
from service.scoring.command import ScoreCommand
from tests.complete_folder import write_astronaut, write_complete_folder
from tests.server_process import family
from tests.service.doubles import grey
from tests.service.scoring.doubles import ROOT, THREADS, middle_face, scored

QUIET = Console(quiet=True)


def test_the_picture_that_kills_its_process_is_a_failure_and_no_other(tmp_path: Path, models_dir: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        (photos / f"{number}.png").write_bytes(grey(153 if number else 102))
    command = [sys.executable, "-m", "tests.service.scoring.doubles", "deadly", photos, tmp_path / "out", models_dir]
    subprocess.run([str(word) for word in command], check=True, cwd=ROOT)
    assert {row["id"]: row["error"] for row in scored(tmp_path / "out")} == {
        "0.png": None,
        "1.png": "worker-died",
    }


@contextmanager
def half_scored(photos: Path, output: Path, models_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Score 40 photographs up to the twelfth: one part of eight is written; yield the process and what lets more in."""
    photos.mkdir()
    for number in range(40):
        (photos / f"{number}.png").write_bytes(grey(number + 1))
    gate = photos.parent / "gate"
    os.mkfifo(gate)
    command = [sys.executable, "-m", "tests.service.scoring.doubles", "gated", photos, output, models_dir, gate]
    running = subprocess.Popen([str(word) for word in command], cwd=ROOT, stderr=subprocess.DEVNULL)
    with running, gate.open("wb", buffering=0) as stream:
        stream.write(b"." * 12)
        _until(lambda: len(list(output.glob("part-*"))) == 1, running)
        yield running, stream


def test_kill_9_loses_and_repeats_nothing(tmp_path: Path, models_dir: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "out"
    with half_scored(photos, output, models_dir) as (running, _):
        running.send_signal(signal.SIGKILL)
        running.wait()
    (before,) = output.glob("part-*")
    written = before.stat().st_mtime_ns
    ScoreCommand(str(photos), output, models_dir=models_dir, pipeline=middle_face, engine=THREADS).run(QUIET)
    assert sorted(row["id"] for row in scored(output)) == sorted(f"{number}.png" for number in range(40))
    assert before.stat().st_mtime_ns == written
    assert not list(output.glob(".partial.*"))


def test_an_interrupted_archive_stays_locked_until_its_workers_have_ended(tmp_path: Path, models_dir: Path) -> None:
    output = tmp_path / "out"
    with half_scored(tmp_path / "photos", output, models_dir) as (running, stream):
        running.send_signal(signal.SIGINT)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:  # its worker waits at the gate
            with pytest.raises(InvalidSetting, match="another `agelens score` writes"), locked(output):
                pass
        stream.write(b"." * 28)
        assert running.wait(60) != 0
    with locked(output):
        assert not list(output.glob(".partial.*"))


def _until(happened: Callable[[], bool], running: subprocess.Popen[bytes]) -> None:
    while not happened():
        assert running.poll() is None, "it ended before it was killed"
        os.sched_yield()


HEARS_INTERRUPTS = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from service.cli.main import app; app()"
)
"""The command where tests run in a shell's background too: what is started there is deaf to interrupts."""


def _is_worker(number: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("after_s", [0, 0.2, 0.5])
def test_ctrl_c_while_the_workers_start_is_one_line_and_the_end(tmp_path: Path, after_s: float) -> None:
    folder = write_complete_folder(tmp_path, "brightness")
    (tmp_path / "photos").mkdir()
    write_astronaut(tmp_path / "photos/astronaut.png")
    words = ["score", tmp_path / "photos", "--output", tmp_path / "out", "--workers", "2", "--models-dir", folder]
    command = [sys.executable, "-c", HEARS_INTERRUPTS, *map(str, words)]
    with (tmp_path / "said").open("wb") as said:
        running = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=said, stderr=said)
    with running:
        _until(lambda: any(map(_is_worker, family(running.pid))), running)
        time.sleep(after_s)  # where in its start a worker is, which no signal may matter to
        os.killpg(running.pid, signal.SIGINT)
        try:
            assert running.wait(60) == 130
        finally:
            running.kill()
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert "interrupted; run the same command again to resume" in (tmp_path / "said").read_text()
