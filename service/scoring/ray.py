"""Score on Ray Data with a pool of actors, each the same `Scorer` that local processes run, on one machine or many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from service.errors import InvalidParameter, needs_extra
from service.scoring.job import Chunk, Job, Tally
from service.scoring.worker import Scorer

_WINDOW_PICTURES: Final = 100_000
_WINDOW_BYTES: Final = 2**30


def score_on_ray(job: Job, chunks: Iterable[Chunk], workers: int) -> Iterator[Tally]:
    """Score chunks with `workers` actors of one processor each; yield each tally when its part is written.

    An actor reads, decodes and writes by itself; only names, or bytes that came from a table, go through Ray. A
    chunk whose node dies is scored again elsewhere into a part of the same name. The output folder must be the same
    on every node. Raises InvalidParameter if Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InvalidParameter(needs_extra("--engine ray", "ray")) from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)  # joins the cluster that RAY_ADDRESS names, or starts one here
    ray.data.DataContext.get_current().enable_progress_bars = False
    for window in _windows(chunks):
        blocks = ray.data.from_items(window, override_num_blocks=len(window))
        most = min(workers, len(window))
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most)  # one is enough to go on
        scored = blocks.map(Scorer, fn_constructor_args=(job,), compute=pool, num_cpus=1, scheduling_strategy="SPREAD")
        for row in scored.iter_rows():
            yield Tally({name: int(count) for name, count in row.items()})


def _windows(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Cut the stream into data sets that fit the driver's memory: Ray holds all rows of one."""
    window: list[Chunk] = []
    pictures = weight = 0
    for chunk in chunks:
        window.append(chunk)
        pictures += len(chunk["ids"])
        weight += sum(len(data) for data in chunk["data"] if data)
        if pictures >= _WINDOW_PICTURES or weight >= _WINDOW_BYTES:
            yield window
            window, pictures, weight = [], 0, 0
    if window:
        yield window
