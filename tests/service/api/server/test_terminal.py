"""What `agelens serve` shows to a person at a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.server_process import ROOT, clean_environment


def test_a_terminal_shows_readable_lines_and_where_to_look(models_dir: Path) -> None:
    terminal, inside = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.service.double_server", str(models_dir)],
        cwd=ROOT,
        env=clean_environment(AGELENS_PORT="0", AGELENS_THREADS="1", TERM="xterm", NO_COLOR=""),
        stdout=inside,
    ) as process:
        try:
            os.close(inside)
            lines: list[str] = []
            for line in _lines(terminal):
                lines.append(line)
                if line.startswith("agelens is ready"):
                    break
            found = re.fullmatch(r"agelens is ready: (http://127\.0\.0\.1:\d+) \(page\) · \1/docs \(API\)", lines[-1])
            assert found, lines
            assert httpx.get(f"{found[1]}/docs", timeout=60).status_code == 200
            listening = next(line for line in lines if "listening" in line)
            assert "\x1b[" in listening
            assert not any(_is_json(line) for line in lines)
        finally:
            process.kill()
            os.close(terminal)


def _lines(terminal: int) -> Iterator[str]:
    """Yield lines until the program ends: then Linux makes reading an OSError."""
    text = b""
    while True:
        try:
            text += os.read(terminal, 4096)
        except OSError:
            return
        *whole, text = text.split(b"\r\n")
        yield from (line.decode() for line in whole)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
