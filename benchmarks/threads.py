"""Do threads of one process answer as many pictures as processes do? `python -m benchmarks.threads [--seconds S]`.

Rounds of one thread, two threads and two processes take turns, so that what else the machine does hits all alike. The
figure is processor time rather than the clock's: pictures per second of processor time show what threads lose to each
other, also where other programs use the processors.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.soak.pictures import portrait
from service.runtime.loading import load
from service.runtime.state import Predictor
from service.settings import Settings


def _predict_for(predictor: Predictor, seconds: float) -> int:
    until = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < until:
        predictor.predict(portrait(), None, lambda: None, 50_000_000)
        count += 1
    return count


class _Own:
    """A predictor for each thread of this process, made once."""

    def __init__(self) -> None:
        self._make = load(Settings()).make_predictor
        self._local = threading.local()

    def run(self, seconds: float) -> int:
        if not hasattr(self._local, "predictor"):
            self._local.predictor = self._make()
        return _predict_for(self._local.predictor, seconds)


_of_this_process = cache(_Own)


def _in_process(seconds: float) -> tuple[int, float]:
    own = _of_this_process()
    began = time.process_time()
    return own.run(seconds), time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads")
    parser.add_argument("--seconds", type=float, default=5, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rates: dict[str, list[tuple[float, float]]] = {"1 thread": [], "2 threads": [], "2 processes": []}
    spawn = multiprocessing.get_context("spawn")
    own = _Own()
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, spawn) as processes:
        list(threads.map(own.run, [0.5, 0.5]))
        list(processes.map(_in_process, [0.5, 0.5]))
        for _ in range(arguments.rounds):
            for name, count in (("1 thread", 1), ("2 threads", 2)):
                began, cpu = time.perf_counter(), time.process_time()
                done = sum(threads.map(own.run, [arguments.seconds] * count))
                rates[name].append((done / (time.perf_counter() - began), done / (time.process_time() - cpu)))
            began = time.perf_counter()
            found = list(processes.map(_in_process, [arguments.seconds] * 2))
            done, used = sum(count for count, _ in found), sum(seconds for _, seconds in found)
            rates["2 processes"].append((done / (time.perf_counter() - began), done / used))
    table = Table("", "pictures/s", "pictures per second of processor time")
    for name, seen in rates.items():
        table.add_row(name, f"{median(each for each, _ in seen):.1f}", f"{median(each for _, each in seen):.1f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
