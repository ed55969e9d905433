"""`agelens serve` itself, as far as it goes without mediapipe's models."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence

from tests.server_process import ROOT, clean_environment


def agelens(*arguments: str, before: Sequence[str] = (), **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `agelens`, by what is `before` it, and without the settings of this process."""
    command = [*before, sys.executable, "-m", "service.cli.main", *arguments]
    environment = clean_environment(**variables)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_taken_port_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = agelens("serve", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "choose another with --host or --port" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


def test_settings_are_listed() -> None:
    ended = agelens("settings", COLUMNS="200", AGELENS_THREADS="3")
    assert ended.returncode == 0
    assert "AGELENS_MAX_BODY_BYTES" in ended.stdout
