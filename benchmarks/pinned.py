"""Processes on processors of their own: servers on one, clients and this process on the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]


def cores() -> tuple[int, int]:
    """Return the processor that is measured and the one that clients run on."""
    found = sorted(os.sched_getaffinity(0))
    return found[0], found[-1]


def taskset(core: int, command: Sequence[str]) -> list[str]:
    """Make a command run on one processor, with its threads and children."""
    return ["taskset", "--cpu-list", str(core), *command]


def ask(module: str, *arguments: str, core: int, python: str = sys.executable) -> Any:
    """Run a module of this project on one processor and return the JSON of its last line."""
    command = taskset(core, [python, "-m", module, *arguments])
    with tempfile.TemporaryFile("w+") as noise:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=noise, text=True, check=False)
        if done.returncode:
            noise.seek(0)
            raise SystemExit(f"{module} failed:\n{noise.read()[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])
