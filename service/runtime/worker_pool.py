"""Worker threads behind a bounded queue: the only bridge between async and sync code."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic

from service.errors import ClientDisconnected, DeadlineExceeded
from service.runtime.admission import Admission, Job, Result, Submission, Task, Worker


class Results(Generic[Worker, Result]):
    """The results of an admitted submission, for the event loop: in order or as they complete."""

    def __init__(self, submission: Submission[Worker, Result]) -> None:
        """Watch the submission's futures from the running event loop."""
        self._submission = submission
        self._futures = [asyncio.wrap_future(job.future) for job in submission.jobs]
        for future in self._futures:
            future.add_done_callback(_mark_retrieved)

    async def result(self, index: int) -> Result:
        """Return one picture's result or raise its error; raise DeadlineExceeded at the deadline."""
        await asyncio.wait([self._futures[index]], timeout=self._left_s())
        return self.outcome(index)

    async def completed(self) -> AsyncIterator[int]:
        """Yield the index of each picture when it is done, and at the deadline the rest."""
        waiting = {future: index for index, future in enumerate(self._futures)}
        while waiting:
            done, _ = await asyncio.wait(waiting, timeout=self._left_s(), return_when=asyncio.FIRST_COMPLETED)
            for future in sorted(done or waiting, key=waiting.__getitem__):
                yield waiting.pop(future)

    def outcome(self, index: int) -> Result:
        """Return a picture's result or raise its error, as of now.

        Raises ClientDisconnected if it was abandoned, DeadlineExceeded if it is not done.
        """
        future = self._futures[index]
        if future.cancelled():
            raise ClientDisconnected("the client disconnected before the answer was ready")
        if not future.done():
            raise DeadlineExceeded("the deadline passed before the answer was ready")
        return future.result()

    def waited_s(self, index: int) -> float:
        """Return how many seconds a picture was in the queue."""
        return self._submission.jobs[index].waited_s

    def _left_s(self) -> float:
        return max(0.0, self._submission.deadline - time.monotonic())


class WorkerPool(Generic[Worker, Result]):
    """`threads` threads, each with a worker of its own.

    `make_worker` builds and warms it in that thread, which enters it as a context manager and leaves it at its end.
    """

    def __init__(
        self, make_worker: Callable[[], AbstractContextManager[Worker]], *, threads: int, queue_size: int
    ) -> None:
        """Prepare threads; `start` runs them."""
        self.threads = threads
        self.capacity = queue_size + threads
        self.started = False
        self._make_worker = make_worker
        self._admission: Admission[Worker, Result] = Admission(self.capacity, threads)
        self._busy_since: list[float | None] = [None] * threads
        self._built: list[Future[None]] = [Future() for _ in range(threads)]
        self._crew = [
            threading.Thread(target=self._work, args=(index,), name=f"agelens-{index}", daemon=True)
            for index in range(threads)
        ]

    @property
    def waiting(self) -> int:
        """Pictures in the queue."""
        return self._admission.waiting

    @property
    def running(self) -> int:
        """Pictures in the threads."""
        return self._admission.running

    async def start(self) -> None:
        """Build a worker in each thread and admit pictures; raise the first error of building."""
        for thread in self._crew:
            thread.start()
        await asyncio.gather(*(asyncio.wrap_future(built) for built in self._built))
        self.started = True
        self._admission.open()

    def close(self) -> None:
        """Admit nothing more; finish the admitted pictures."""
        self._admission.close()

    def stop(self, timeout_s: float) -> bool:
        """End the threads after the admitted pictures; return whether all ended within `timeout_s`."""
        self._admission.stop()
        until = time.monotonic() + timeout_s
        for thread in self._crew:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._crew)

    def complaint(self, stuck_after_s: float) -> str | None:
        """Name a thread that does not answer, or return None."""
        now = time.monotonic()
        for thread, since in zip(self._crew, self._busy_since, strict=True):
            if not thread.is_alive():
                return f"{thread.name} has ended"
            if since is not None and now - since > stuck_after_s:
                return f"{thread.name} has been busy with one picture for {now - since:.0f} s"
        return None

    def probe(self, deadline_s: float = math.inf) -> None:
        """Raise QueueFull or NotReady if a picture with this deadline would be refused now."""
        self._admission.probe(deadline_s)

    @contextmanager
    def admitted(
        self, tasks: Sequence[Task[Worker, Result]], deadline_s: float
    ) -> Iterator[tuple[Results[Worker, Result], Callable[[], None]]]:
        """Admit all tasks or none; yield their results and a function that abandons the unfinished ones.

        Leaving the block abandons them as well. Raises QueueFull or NotReady.
        """
        submission = Submission(tasks, deadline_s)
        self._admission.enter(submission)
        try:
            yield Results(submission), lambda: self._admission.abandon(submission)
        finally:
            self._admission.abandon(submission)

    def _work(self, index: int) -> None:
        with ExitStack() as stack:
            if not self._built[index].set_running_or_notify_cancel():
                return  # the service was told to end before it started
            try:
                worker = stack.enter_context(self._make_worker())
            except BaseException as error:  # whoever started the pool gets it
                self._built[index].set_exception(error)
                return
            self._built[index].set_result(None)
            while (job := self._admission.take()) is not None:
                self._busy_since[index] = began = time.monotonic()
                finished = _run(job, worker)
                del job  # or the picture would stay in memory until the next one comes
                self._busy_since[index] = None
                self._admission.done(time.monotonic() - began if finished else None)


def _run(job: Job[Worker, Result], worker: Worker) -> bool:
    """Do a job and return whether it ran to its end."""
    future = job.future
    try:
        if not future.set_running_or_notify_cancel():
            return False
        job.submission.checkpoint()
        future.set_result(job.task(worker, job.submission.checkpoint))
    except Exception as error:  # it belongs to the caller, not to the thread
        future.set_exception(error)
        return False
    finally:
        del job, future  # the error's traceback holds this frame: no cycle through it
    return True


def _mark_retrieved(future: asyncio.Future[Result]) -> None:
    """Keep asyncio from reporting an error whose caller is gone."""
    if not future.cancelled():
        future.exception()
