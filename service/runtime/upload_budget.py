"""Limit the memory and the time of arriving request bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from service.errors import BodyTooSlow, NotReady, QueueFull


class Reservation:
    """The bytes that one body has reserved."""

    def __init__(self, budget: UploadBudget) -> None:
        """Start without any."""
        self.taken_bytes = 0
        self._budget = budget

    def take(self, count: int) -> None:
        """Reserve `count` more bytes; raise QueueFull if the budget is used up."""
        self._budget.take(count)
        self.taken_bytes += count


class UploadBudget:
    """Allows `max_buffered_bytes` of request bodies in memory, each complete within `timeout_s`."""

    def __init__(self, max_buffered_bytes: int, timeout_s: float) -> None:
        """Start with nothing buffered."""
        self._free_bytes = max_buffered_bytes
        self._timeout_s = timeout_s
        self._waiting: set[asyncio.Timeout] = set()
        self._draining = False

    @property
    def receiving(self) -> int:
        """Number of bodies that are arriving."""
        return len(self._waiting)

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Yield a reservation that is released when the block is left."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self._free_bytes += reservation.taken_bytes

    def take(self, count: int) -> None:
        """Reserve `count` bytes; raise QueueFull if fewer are free."""
        if count > self._free_bytes:
            raise QueueFull("too many bodies are being received", retry_after_s=1)
        self._free_bytes -= count

    @asynccontextmanager
    async def receiving_body(self) -> AsyncIterator[None]:
        """Limit the time of a body to arrive; raise BodyTooSlow, or NotReady after `drain`."""
        try:
            async with asyncio.timeout(0 if self._draining else self._timeout_s) as timeout:
                self._waiting.add(timeout)
                try:
                    yield
                finally:
                    self._waiting.discard(timeout)
        except TimeoutError as error:
            if self._draining:
                raise NotReady("the service is shutting down; use another instance", retry_after_s=1) from error
            raise BodyTooSlow(f"the body did not arrive within {self._timeout_s:g} s") from error

    def drain(self) -> None:
        """Stop waiting for bodies that are still arriving."""
        self._draining = True
        now = asyncio.get_running_loop().time()
        for timeout in self._waiting:
            timeout.reschedule(now)
