"""A Ray cluster of two raylets on this machine; one is killed while it scores. PHOTOS OUTPUT MODELS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from service.scoring.command import ScoreCommand
from service.scoring.job import Chunk, Job, Tally
from service.scoring.ray import score_on_ray
from tests.service.scoring.doubles import ROOT, THREADS, middle_face, scored

CHUNK = 4


def main() -> None:
    """Score on the cluster, kill the second node after the first part, score locally as well, and compare."""
    photos, output, models_dir = (Path(word) for word in sys.argv[1:])
    os.environ["PYTHONPATH"] = str(ROOT)  # raylets and their workers import these doubles
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    doomed = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    killed = 0

    def engine(job: Job, chunks: Iterator[Chunk], workers: int) -> Iterator[Tally]:
        nonlocal killed
        for tally in score_on_ray(job, chunks, workers):
            if not killed:
                cluster.remove_node(doomed, allow_graceful=False)
                killed += 1
            yield tally

    made = dict[str, Any](models_dir=models_dir, workers=2, chunk_size=CHUNK, pipeline=middle_face, report=True)
    quiet = Console(quiet=True)
    ScoreCommand(str(photos), output / "ray", engine=engine, **made).run(quiet)
    ray.shutdown()
    cluster.shutdown()
    ScoreCommand(str(photos), output / "local", engine=THREADS, **made).run(quiet)
    over_ray, here = scored(output / "ray"), scored(output / "local")
    parts = [sorted(part.name for part in (output / where).glob("part-*")) for where in ("ray", "local")]
    pages = [(output / where / "report.html").read_text() for where in ("ray", "local")]
    report = {
        "killed": killed,
        "ids": [row["id"] for row in over_ray],
        "same_rows": over_ray == here,
        "same_parts": parts[0] == parts[1],
        "same_reports": pages[0] == pages[1],
    }
    sys.stdout.write("\n" + json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
