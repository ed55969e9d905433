"""`agelens serve` against other servers of the same pipeline: one processor for the server, one for the clients."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Findings, Spread
from benchmarks.pictures import small_photo
from benchmarks.pinned import ROOT
from benchmarks.scale import Scale
from benchmarks.serving import free_port, load, our_command, serving

CLIENTS: Final = (1, 4, 16, 64)
ENVIRONMENT: Final = ROOT / "benchmarks" / ".peers"
OURS: Final = "agelens"
TURNS: Final = 4
"""Turns that each server takes in the time of one round: in seconds the machine's own speed changes less."""


def run(scale: Scale, console: Console) -> Findings:
    """Start all servers, idle but for the one whose turn it is, and go round."""
    python = environment(ENVIRONMENT, ROOT / "benchmarks" / "requirements.txt", console)
    rounds: dict[int, dict[str, list[float]]] = {clients: defaultdict(list) for clients in CLIENTS}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        picture = Path(scratch) / "small.jpg"
        picture.write_bytes(small_photo())
        servers = [stack.enter_context(serving(*each)) for each in _commands(python)]
        for _ in range(scale.rounds * TURNS):
            for clients in CLIENTS:
                for server in servers:
                    seen = load(server, picture, clients, scale.seconds / TURNS)
                    rounds[clients][server.name].append(seen.per_second)
        memory = {server.name: server.rss_mb() for server in servers}
    table = Table("requests a second", *(f"{clients} clients" for clients in CLIENTS), "MB")
    for name, megabytes in memory.items():
        cells = [f"{Spread(tuple(rounds[clients][name])).median:.1f}" for clients in CLIENTS]
        table.add_row(name, *cells, f"{megabytes:.0f}")
    console.print(table)
    return Findings(
        {"server_over_best_peer": {str(clients): _over_best(found) for clients, found in rounds.items()}},
        {
            "peers": {
                str(clients): {name: Spread(tuple(each)).facts() for name, each in found.items()}
                for clients, found in rounds.items()
            }
        },
    )


def environment(folder: Path, requirements: Path, console: Console, with_ours: bool = True) -> Path:
    """Make an environment with the requirements, and with what `agelens` needs; return its Python."""
    python = folder / "bin" / "python"
    mark = folder / ".installed"
    wanted = requirements.read_text()
    if not (mark.is_file() and mark.read_text() == wanted):
        console.print(f"installing {requirements.relative_to(ROOT)} into {folder.relative_to(ROOT)}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*install, "-r", str(requirements), *(_our_versions() if with_ours else [])], check=True)
        mark.write_text(wanted)
    return python


def _our_versions() -> list[str]:
    """Pin what `agelens serve` runs on; BentoML asks for another opentelemetry, which serving does not use."""
    lines = (ROOT / "requirements" / "serve.txt").read_text().splitlines()
    pins = [line.split(" ")[0] for line in lines if re.match(r"[a-z0-9.-]+==", line)]
    return [pin for pin in pins if not pin.startswith("opentelemetry")]


def _commands(python: Path) -> list[tuple[str, list[str], int, str]]:
    ours, plain, lit, bento = (free_port() for _ in range(4))
    bentoml = [str(python), "-m", "bentoml", "serve", "benchmarks.peers.bentoml_app:Ages", "--port", str(bento)]
    return [
        (OURS, our_command(ours), ours, "/health/ready"),
        ("plain FastAPI", [str(python), "-m", "benchmarks.peers.plain_fastapi", str(plain)], plain, "/health"),
        ("LitServe", [str(python), "-m", "benchmarks.peers.litserve_app", str(lit)], lit, "/health"),
        ("BentoML", [*bentoml, "--host", "127.0.0.1"], bento, "/readyz"),
    ]


def _over_best(found: dict[str, list[float]]) -> float:
    """Median of the ratios of neighbouring turns, to the peer that this leaves least ahead of."""
    peers = {name: rates for name, rates in found.items() if name != OURS}
    return min(
        median(ours / theirs for ours, theirs in zip(found[OURS], rates, strict=True)) for rates in peers.values()
    )
