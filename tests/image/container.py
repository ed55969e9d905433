"""Runs the unpacked image as an engine would: its user, its environment, process 1, a root that cannot be written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

WORK = Path(__file__).parents[2] / "build" / "image"
ROOT = WORK / "root"
_ENTER = """
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount -o remount,ro,bind "$1"
root=$1 user=$2
shift 2
exec chroot --userspec="$user" "$root" /usr/bin/env -i "$@"
"""


def configuration() -> dict[str, Any]:
    """What the image says of itself: user, environment, command, health check, labels."""
    config: dict[str, Any] = json.loads((WORK / "inspect.json").read_text())["Docker"]["config"]
    return config


def command(*words: str) -> list[str]:
    """The words that run a command in the image; `unshare` waits for it and ends as it ends."""
    config = configuration()
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh"]
    return [*enter, str(ROOT), config["User"], *config["Env"], *words]


@dataclass
class Container:
    """A running image."""

    process: subprocess.Popen[bytes]
    client: httpx.Client

    def terminate(self) -> int:
        """Send SIGTERM to the container's process 1 and return its exit status."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            subprocess.run(["kill", f"-{signal.SIGTERM}", child], check=True)
        return self.process.wait(60)


@contextmanager
def running() -> Iterator[Container]:
    """Start the image's own command and wait until it is ready."""
    config = configuration()
    began = time.monotonic()
    log = WORK / "container.log"
    with log.open("w") as stream:
        process = subprocess.Popen(command(*config["Entrypoint"], *config["Cmd"]), stdout=stream, stderr=stream)
    try:
        with httpx.Client(base_url="http://127.0.0.1:8000", timeout=60) as client:
            _wait_until_ready(process, client)
            start_s = time.monotonic() - began
            sys.stdout.write(f"ready after {start_s:.1f} s\n")
            yield Container(process, client)
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], client: httpx.Client) -> None:
    while process.poll() is None:
        try:
            if client.get("/health/ready").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the image ended with {process.returncode}: {(WORK / 'container.log').read_text()}")
