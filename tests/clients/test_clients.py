from __future__ import annotations

import json
import subprocess
from itertools import product
from pathlib import Path

import pytest

from tests.service.running import LiveServer

HERE = Path(__file__).parent


def run(*command: str | Path) -> list[tuple[int, dict[str, object]]]:
    """Run a client that prints a status and a document on each line, and return them."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [line.partition(" ") for line in done.stdout.splitlines() if line]
    return [(int(status), json.loads(document)) for status, _, document in lines]


def ages(replies: list[tuple[int, dict[str, object]]]) -> list[float]:
    assert {status for status, _ in replies} == {200}, replies
    return [round(face["age"], 3) for _, reply in replies for face in reply["faces"]]  # type: ignore[attr-defined]


def test_javas_http_client_as_it_comes_posts_pictures(server: LiveServer, picture: Path) -> None:
    assert ages(run("java", HERE / "Predict.java", f"{server.url}/predict", picture)) == [20] * 4


def test_nodes_fetch_posts_pictures(server: LiveServer, picture: Path) -> None:
    assert ages(run("node", HERE / "predict.mjs", f"{server.url}/predict", picture)) == [20] * 3


def curl(server: LiveServer, *options: str) -> tuple[str, list[tuple[int, dict[str, object]]]]:
    """Post twice over one connection, and return what curl says of its transfers, and the replies."""
    url = f"{server.url}/predict"
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--verbose", "--write-out", "\n%{http_code}\n", *options, url, url],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    return done.stderr, [(int(lines[n + 1]), json.loads(lines[n])) for n in range(0, len(lines), 2)]


@pytest.mark.parametrize(
    ("version", "way"),
    [
        *product(("--http1.1", "--http2"), ("form", "bytes", "chunks")),
        *product(("--http1.0",), ("form", "bytes")),  # which has no chunks
    ],
)
def test_curl_posts_pictures(server: LiveServer, picture: Path, version: str, way: str) -> None:
    raw = ["--header", "Content-Type: image/png"]
    ways = {
        "form": ["--form", f"file=@{picture};type=image/png"],
        "bytes": [*raw, "--data-binary", f"@{picture}"],
        "chunks": [*raw, "--header", "Transfer-Encoding: chunked", "--data-binary", f"@{picture}"],
    }
    assert ages(curl(server, version, *ways[way])[1]) == [20] * 2


ASKS_FIRST = ("--http1.1", "-HExpect: 100-continue", "-HContent-Type: image/png", "--data-binary")


def test_curl_that_asks_first_is_told_to_continue(server: LiveServer, picture: Path) -> None:
    said, replies = curl(server, *ASKS_FIRST, f"@{picture}")
    assert ages(replies) == [20] * 2
    assert said.count("< HTTP/1.1 100 Continue") == 2
    assert "Re-using existing connection" in said


def test_curl_that_asks_first_sends_no_body_that_is_refused(server: LiveServer, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(2**20 + 1))
    said, replies = curl(server, *ASKS_FIRST, f"@{large}")
    assert [status for status, _ in replies] == [413] * 2
    assert "100 Continue" not in said
