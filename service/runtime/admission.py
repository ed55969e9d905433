"""A bounded queue, fair between callers: threads take one picture from each submission in turn."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from service.errors import ClientDisconnected, DeadlineExceeded, NotReady, QueueFull

Worker = TypeVar("Worker")
Result = TypeVar("Result")
Checkpoint = Callable[[], None]
Task = Callable[[Worker, Checkpoint], Result]

_SMOOTHING: Final = 0.1
"""Weight of the newest picture in the running mean of seconds per picture."""


@dataclass(slots=True)
class Job(Generic[Worker, Result]):
    """The work on one picture, its time of arrival, and the future of its result."""

    task: Task[Worker, Result]
    submission: Submission[Worker, Result]
    since: float = field(default_factory=time.monotonic)
    waited_s: float = 0.0
    future: Future[Result] = field(default_factory=Future)


class Submission(Generic[Worker, Result]):
    """The pictures of one request: admitted together, with one deadline and one caller."""

    def __init__(self, tasks: Sequence[Task[Worker, Result]], deadline_s: float) -> None:
        """Start the clock: the deadline lies `deadline_s` seconds from now."""
        self.deadline = time.monotonic() + deadline_s
        self.gone = False
        self.jobs = [Job(task, self) for task in tasks]
        self.pending = deque(self.jobs)

    def checkpoint(self) -> None:
        """Raise ClientDisconnected or DeadlineExceeded if nobody waits for the result any more."""
        if self.gone:
            raise ClientDisconnected("the client disconnected before the answer was ready")
        if time.monotonic() >= self.deadline:
            raise DeadlineExceeded("the deadline passed before the answer was ready")


class Admission(Generic[Worker, Result]):
    """Admits pictures and hands them to threads; refuses more than `capacity`, waiting and running together."""

    def __init__(self, capacity: int, threads: int) -> None:
        """Start closed; `open` admits submissions."""
        self._capacity = capacity
        self._threads = threads
        self._turns: deque[Submission[Worker, Result]] = deque()
        self._changed = threading.Condition()
        self._open = False
        self._stopped = False
        self._mean_s = 0.0
        self.waiting = 0
        self.running = 0

    def open(self) -> None:
        """Admit submissions from now on."""
        self._open = True

    def close(self) -> None:
        """Admit no further submissions; finish the admitted ones."""
        self._open = False

    def stop(self) -> None:
        """Let the threads end as soon as the queue is empty."""
        with self._changed:
            self._open, self._stopped = False, True
            self._changed.notify_all()

    def enter(self, submission: Submission[Worker, Result]) -> None:
        """Admit all of the submission's pictures or none; raise QueueFull or NotReady."""
        count = len(submission.jobs)
        with self._changed:
            self._require_open()
            self._require_place(count, submission.deadline - time.monotonic())
            self._turns.append(submission)
            self.waiting += count
            self._changed.notify(count)

    def probe(self, deadline_s: float = math.inf) -> None:
        """Raise what `enter` would raise for one picture, before its body is read."""
        self._require_open()
        self._require_place(1, deadline_s)

    def clear_in_s(self) -> float:
        """Estimated seconds until all admitted pictures are done, from the measured time per picture."""
        return (self.waiting + self.running) * self._mean_s / self._threads

    def take(self) -> Job[Worker, Result] | None:
        """Wait for the next picture, one from each submission in turn; None when the thread should end."""
        with self._changed:
            while not self._turns:
                if self._stopped:
                    return None
                self._changed.wait()
            submission = self._turns.popleft()
            job = submission.pending.popleft()
            if submission.pending:
                self._turns.append(submission)
            self.running += 1  # first: who looks at both without the lock must not miss it
            self.waiting -= 1
            job.waited_s = time.monotonic() - job.since
            return job

    def done(self, seconds: float | None) -> None:
        """Count a picture as done; `seconds` is the time it took, None for one that was abandoned."""
        with self._changed:
            self.running -= 1
            if seconds is not None:
                weight = _SMOOTHING if self._mean_s else 1.0
                self._mean_s += weight * (seconds - self._mean_s)

    def _require_open(self) -> None:
        if not self._open:
            raise NotReady("the service is starting or shutting down; try again, or use another instance", 1)

    def _require_place(self, count: int, deadline_s: float) -> None:
        """Raise QueueFull if the queue has no room, or would reach the pictures only after their deadline."""
        if self.waiting + self.running + count > self._capacity:
            raise QueueFull(f"the queue has no room for {count} more picture(s)", self.clear_in_s())
        if self.clear_in_s() > deadline_s:
            raise QueueFull("the pictures already waiting take longer than the deadline allows", self.clear_in_s())

    def abandon(self, submission: Submission[Worker, Result]) -> None:
        """Drop the submission's waiting pictures at once, and stop the running ones at their next stage."""
        with self._changed:
            submission.gone = True
            dropped, submission.pending = list(submission.pending), deque()
            self.waiting -= len(dropped)
            if dropped:
                self._turns.remove(submission)
        for job in dropped:
            job.future.cancel()
