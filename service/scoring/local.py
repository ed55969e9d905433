"""Score on this machine, in processes or threads, with a bounded number of chunks in flight."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final, Literal

import cv2

from service.errors import SetupError
from service.runtime.native import end_with_parent
from service.scoring.job import Chunk, Job, Tally
from service.scoring.parts import part_name, write_part
from service.scoring.rows import failure
from service.scoring.worker import Scorer

Kind = Literal["processes", "threads"]
_AHEAD: Final = 2
"""Chunks for each worker that are in flight: one in work, one waiting."""

_mine: Final = threading.local()


class WorkerDied(Exception):
    """The process that read this photograph was killed, by a native library's crash or for want of memory."""


def score_locally(job: Job, chunks: Iterable[Chunk], workers: int, kind: Kind = "processes") -> Iterator[Tally]:
    """Score chunks with `workers` processes or threads; yield each tally when its part is written.

    A chunk whose process dies is tried again in halves, until the photograph that kills it stands alone and is
    written down as a failure.
    """
    waiting = iter(chunks)
    suspects: deque[Chunk] = deque()
    while True:
        with _executor(job, workers, kind) as executor:
            try:
                yield from _drain(executor, waiting, workers, suspects)
            except BrokenProcessPool:
                pass
            else:
                return
        while suspects:
            yield from _alone(job, suspects.popleft())


def _drain(executor: Executor, waiting: Iterator[Chunk], workers: int, suspects: deque[Chunk]) -> Iterator[Tally]:
    """Keep the executor busy until nothing waits; chunks that a broken executor did not finish are in `suspects`."""
    running: dict[Future[Tally], Chunk] = {}
    try:
        while True:
            while len(running) < workers * _AHEAD and (chunk := next(waiting, None)) is not None:
                suspects.append(chunk)
                with _interrupts_later():
                    running[executor.submit(_score, chunk)] = chunk
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                tally = future.result()
                suspects.remove(running.pop(future))
                yield tally
    finally:
        executor.shutdown(cancel_futures=True)  # and waits for what runs: the archive stays locked till then


def _alone(job: Job, chunk: Chunk) -> Iterator[Tally]:
    """Score a chunk in a process of its own; if that dies, score its halves."""
    with _executor(job, 1, "processes") as executor:
        try:
            with _interrupts_later():
                ready = executor.submit(_stand_by)
            ready.result()
        except BrokenProcessPool as error:
            raise SetupError(
                "worker processes are killed while they load the models; there may be too little memory"
            ) from error
        try:
            yield executor.submit(_score, chunk).result()
        except BrokenProcessPool:
            pass
        else:
            return
    if len(chunk["ids"]) == 1:
        yield _given_up(job, chunk)
        return
    middle = len(chunk["ids"]) // 2
    for part in (slice(None, middle), slice(middle, None)):
        ids = chunk["ids"][part]
        half = Chunk(
            part=part_name(ids, job.format),
            ids=ids,
            paths=chunk["paths"][part],
            data=chunk["data"][part],
            faults=chunk["faults"][part],
        )
        yield from _alone(job, half)


def _given_up(job: Job, chunk: Chunk) -> Tally:
    died = WorkerDied("the process that read this photograph was killed: a native library crashed, or memory ran out")
    write_part(job.output / chunk["part"], [failure(chunk["ids"][0], died)], job.format, job.options.thresholds)
    return Tally(pictures=1, failures=1)


def _executor(job: Job, workers: int, kind: Kind) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(workers, initializer=_open, initargs=(job,))
    resource_tracker.ensure_running()  # or the first process would start it, which lets interrupts through
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, initializer=_open_process, initargs=(job,))


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back while a process may be started, which then begins deaf to it.

    It has a second of imports before it can ignore it, and one that dies in them leaves its executor waiting. The mask
    is for that process; this one may hear the interrupt in another thread, and would raise it here.
    """
    held: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number)) if in_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if in_main:
            signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


def _open(job: Job) -> None:
    cv2.setNumThreads(1)  # the workers are the parallelism
    try:
        _mine.scorer = Scorer(job)
    except Exception as error:  # an executor would only say that it is broken: the first chunk says why
        _mine.scorer = None
        _mine.trouble = error


def _open_process(job: Job) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if (parent := multiprocessing.parent_process()) and parent.pid:
        end_with_parent(parent.pid)  # an orphan must not write parts that the next run scores again
    _open(job)


def _score(chunk: Chunk) -> Tally:
    scorer: Scorer | None = _mine.scorer
    if scorer is None:
        raise _mine.trouble
    return scorer(chunk)


def _stand_by() -> None:
    """Show that the worker has loaded everything and lives."""
