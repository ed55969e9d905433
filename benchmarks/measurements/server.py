"""The server against the same pipeline in a process, one processor each, and what it costs to run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.bound import STAGES
from benchmarks.figures import Findings, Spread
from benchmarks.measurements.stages import stage_times
from benchmarks.pictures import small_photo
from benchmarks.scale import Scale
from benchmarks.serving import Seen, Serving, free_port, load, our_command, pace, serving

READY: str = "/health/ready"
_SATURATING: int = 4


def run(scale: Scale, console: Console) -> Findings:
    """Measure bound and server in turn, so that both see the same machine."""
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch, serving("agelens", our_command(port), port, READY) as server:
        picture = Path(scratch) / "small.jpg"
        picture.write_bytes(small_photo())
        ready_mb = server.rss_mb()
        bounds, stages, saturated, alone, paced = [], [], [], [], []
        for _ in range(scale.rounds):
            found = stage_times(small_photo(), scale.repeats)["stages_ms"]
            bounds.append(1000 / found["whole"]["median"])
            stages.append(sum(found[stage]["median"] for stage in STAGES))
            saturated.append(load(server, picture, _SATURATING, scale.seconds))
            alone.append(load(server, picture, 1, scale.seconds))
            paced.append(pace(server, picture, saturated[-1].per_second / 2, scale.seconds))
        _post(server, picture, scale.requests)
        after_mb = server.rss_mb()
    console.print(f"saturated {_per_second(saturated).median:.1f}/s, bound {Spread(tuple(bounds)).median:.1f}/s")
    ratios = {
        "server_over_bound": [seen.per_second / bound for seen, bound in zip(saturated, bounds, strict=True)],
        "p50_over_stages": [seen.p50_ms / total for seen, total in zip(alone, stages, strict=True)],
        "p99_over_p50": [seen.p99_ms / seen.p50_ms for seen in paced],
    }
    spreads = {name: Spread(tuple(rounds)) for name, rounds in ratios.items()}
    starts = _starts(scale)
    return Findings(
        {**{name: spread.median for name, spread in spreads.items()}, "ready_s": starts.median, "rss_mb": after_mb},
        {
            "server": {
                **{name: spread.facts() for name, spread in spreads.items()},
                "per_second": _per_second(saturated).facts(),
                "bound_per_second": Spread(tuple(bounds)).facts(),
                "ready_s": starts.facts(),
                "rss_mb": {"ready": ready_mb, f"after {scale.requests} requests": after_mb},
            }
        },
    )


def _per_second(rounds: list[Seen]) -> Spread:
    return Spread(tuple(seen.per_second for seen in rounds))


def _post(server: Serving, picture: Path, requests: int) -> None:
    sent = 0
    while sent < requests:
        sent += load(server, picture, _SATURATING, min(20.0, requests / 50)).requests


def _starts(scale: Scale) -> Spread:
    """Seconds from the process's start to a ready probe, on one processor."""
    taken = []
    for _ in range(scale.rounds):
        port = free_port()
        with serving("agelens", our_command(port), port, READY) as server:
            taken.append(server.ready_s)
    return Spread(tuple(taken))
