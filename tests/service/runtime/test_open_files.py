from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.server_process import run_server
from tests.service.api.server.test_server import agelens
from tests.service.running import connect


def under_limit(soft: int, hard: int, *command: str) -> list[str]:
    return ["bash", "-c", f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"', "-", *command]


def test_callers_are_answered_where_connections_outnumber_the_files_that_may_be_open(models_dir: Path) -> None:
    command = under_limit(80, 80, sys.executable, "-m", "tests.service.double_server", str(models_dir))
    with run_server(command) as server, ExitStack() as stack:
        limited = next(line for line in server.lines if line["event"] == "connections_limited")
        assert (limited["open_files"], limited["wanted"]) == (80, 1000)
        assert 8 <= limited["max_connections"] <= 80 - 36
        for _ in range(120):
            stack.enter_context(connect(server.port, b"GET / HT"))
        assert httpx.get(f"{server.url}/health/live", timeout=60).status_code == 200


def test_soft_limit_of_open_files_is_raised_to_the_hard_one(models_dir: Path) -> None:
    command = under_limit(80, 4096, sys.executable, "-m", "tests.service.double_server", str(models_dir))
    with run_server(command) as server:
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if "open files" in line).split()[3:5] == ["4096", "4096"]
    assert not [line for line in server.lines if line["event"] == "connections_limited"]


def test_too_few_open_files_to_serve_at_all_are_named_with_how_many_it_takes() -> None:
    ended = agelens("serve", "--port", "0", "--threads", "1", before=under_limit(44, 44))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "this process may open 44 files; serving needs at least 45 (ulimit -n)" in ended.stderr


def test_port_that_another_program_uses_is_named_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = agelens("serve", "--port", str(port))
    said = f"AGELENS_PORT {port} cannot be listened on (Address already in use); choose"
    assert (ended.returncode, said in ended.stderr) == (1, True)


@pytest.mark.parametrize("host", ["no such host", "x" * 300, "256.1.1.1"])
def test_host_that_cannot_be_listened_on_is_named(host: str) -> None:
    ended = agelens("serve", "--port", "0", AGELENS_HOST=host)
    assert ended.returncode == 1
    assert f"AGELENS_HOST {host}" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
