"""Requests made up from the OpenAPI document; `make soak` sends many more of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.server_process import ROOT
from tests.service.running import server_process


def test_made_up_requests_find_no_disagreement_with_the_document(models_dir: Path, tmp_path: Path) -> None:
    with server_process(models_dir) as server:
        program = Path(sys.executable).with_name("schemathesis")
        config = str(ROOT / "benchmarks/soak/schemathesis.toml")
        command = [str(program), "--config-file", config, "run", f"{server.url}/openapi.json"]
        options = ["--checks=all", "--max-examples=3", "--generation-deterministic", "--no-color"]
        ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
        server.signal()
        assert server.end() == 0
    assert ended.returncode == 0, ended.stdout
