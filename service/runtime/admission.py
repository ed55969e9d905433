"""A bounded queue that is fair between callers: each order gives up one picture at a time, in turn."""

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
    """One picture's work, when it came, and where its result goes."""

    task: Task[Worker, Result]
    order: Submission[Worker, Result]
    since: float = field(default_factory=time.monotonic)
    waited_s: float = 0.0
    future: Future[Result] = field(default_factory=Future)


class Submission(Generic[Worker, Result]):
    """What one request asks for: pictures that are admitted together and share deadline and caller."""

    def __init__(self, tasks: Sequence[Task[Worker, Result]], deadline_s: float) -> None:
        """Start the clock: the deadline lies `deadline_s` seconds from now."""
        self.deadline = time.monotonic() + deadline_s
        self.gone = False
        self.jobs = [Job(task, self) for task in tasks]
        self.pending = deque(self.jobs)

    def checkpoint(self) -> None:
        """Raise ClientDisconnected or DeadlineExceeded where going on would be in vain."""
        if self.gone:
            raise ClientDisconnected("the caller hung up before the answer was ready")
        if time.monotonic() >= self.deadline:
            raise DeadlineExceeded("the deadline passed before the answer was ready")


class Admission(Generic[Worker, Result]):
    """Counts pictures in, hands them to threads, and says no beyond `capacity`, waiting and running together."""

    def __init__(self, capacity: int, threads: int) -> None:
        """Start closed; `open` lets orders in."""
        self._capacity = capacity
        self._threads = threads
        self._turns: deque[Submission[Worker, Result]] = deque()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self.moved = threading.Condition(lock)  # told of each picture that comes, starts, ends or is dropped
        self._open = False
        self._stopped = False
        self._mean_s = 0.0
        self.waiting = 0
        self.running = 0

    def open(self) -> None:
        """Let orders in."""
        self._open = True

    def close(self) -> None:
        """Let no further order in; those inside go on."""
        self._open = False

    def stop(self) -> None:
        """Send the threads home once nothing waits."""
        with self._changed:
            self._open, self._stopped = False, True
            self._changed.notify_all()

    def enter(self, order: Submission[Worker, Result]) -> None:
        """Take all of the order's pictures or none; raise QueueFull or NotReady."""
        count = len(order.jobs)
        with self._changed:
            self._require_open()
            self._require_place(count, order.deadline - time.monotonic())
            self._turns.append(order)
            self.waiting += count
            self._changed.notify(count)
            self.moved.notify_all()

    def probe(self, deadline_s: float = math.inf) -> None:
        """Raise what `enter` would raise for one picture, before its body is read."""
        self._require_open()
        self._require_place(1, deadline_s)

    def clear_in_s(self) -> float:
        """Seconds until everything inside now is done, by the measured time per picture."""
        return (self.waiting + self.running) * self._mean_s / self._threads

    def take(self) -> Job[Worker, Result] | None:
        """Wait for the next picture, each order in its turn; None when the threads may go home."""
        with self._changed:
            while not self._turns:
                if self._stopped:
                    return None
                self._changed.wait()
            order = self._turns.popleft()
            job = order.pending.popleft()
            if order.pending:
                self._turns.append(order)
            self.waiting -= 1
            self.running += 1
            job.waited_s = time.monotonic() - job.since
            self.moved.notify_all()
            return job

    def done(self, seconds: float | None) -> None:
        """Count a picture out; `seconds` is what it took, None for one that was given up."""
        with self._changed:
            self.running -= 1
            self.moved.notify_all()
            if seconds is not None:
                weight = _SMOOTHING if self._mean_s else 1.0
                self._mean_s += weight * (seconds - self._mean_s)

    def _require_open(self) -> None:
        if not self._open:
            raise NotReady("the service is starting or shutting down; ask again or another instance", 1)

    def _require_place(self, count: int, deadline_s: float) -> None:
        """Raise QueueFull where the pictures find no place, or would only be reached after their deadline."""
        if self.waiting + self.running + count > self._capacity:
            raise QueueFull(f"no place left in the queue for {count} more picture(s)", self.clear_in_s())
        if self.clear_in_s() > deadline_s:
            raise QueueFull("what waits already takes longer than the deadline allows", self.clear_in_s())

    def abandon(self, order: Submission[Worker, Result]) -> None:
        """Drop what of the order still waits, at once, and stop what runs at its next stage."""
        with self._changed:
            order.gone = True
            dropped, order.pending = list(order.pending), deque()
            self.waiting -= len(dropped)
            if dropped:
                self._turns.remove(order)
                self.moved.notify_all()
        for job in dropped:
            job.future.cancel()
