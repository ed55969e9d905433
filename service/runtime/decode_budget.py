"""Limits of decoding: processor time and memory for each picture, and memory for all threads together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from service.inference.decoding.cost import price
from service.inference.decoding.decoder import Decode
from service.inference.decoding.limits import DecodeLimits
from service.inference.decoding.photo import Photo
from service.runtime.decoder_process import PROGRAM, DecoderLauncher, DecoderProcess

_LOOK_S: Final = 0.05
_LEAST_S: Final = 0.05
"""Processor seconds that a second decode of the same picture gets at least."""


class DecodeBudget:
    """Admits pictures to decoding by their estimated cost: each within its limits, all within the memory."""

    def __init__(self, limits: DecodeLimits) -> None:
        """Allow each picture its limits, and all together as much memory as one."""
        self.limits = limits
        self._used = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, count: int, checkpoint: Callable[[], None]) -> Iterator[None]:
        """Reserve `count` bytes, first come, first served; `checkpoint` is called while waiting."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._used + count > self.limits.max_bytes:
                    self._changed.wait(_LOOK_S)
                    checkpoint()
                self._used += count
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()


class BudgetedDecoder:
    """Decodes for one thread: estimates the cost, admits the picture, and decodes in a process that can be killed."""

    def __init__(self, budget: DecodeBudget, process: DecoderProcess) -> None:
        """Decode in `process`, within `budget`."""
        self._budget = budget
        self._process = process

    @contextmanager
    def open(self, data: bytes, max_pixels: int, checkpoint: Callable[[], None]) -> Iterator[Decode]:
        """Yield a function that decodes `data` at a scale; its memory stays reserved until the block is left.

        Raises UnsupportedPicture, CorruptPicture, PictureTooLarge.
        """
        limits = self._budget.limits
        picture = limits.admitted(price(data, max_pixels))
        left_s = limits.max_s
        with self._budget.reserved(picture.memory_bytes, checkpoint):

            def decode(min_side: int | None) -> Photo:
                nonlocal left_s
                side = picture.side(min_side)
                photo, used_s = self._process.decode(picture, max_pixels, side, left_s, checkpoint)
                left_s = max(_LEAST_S, left_s - used_s)
                return replace(photo, priced_s=picture.processor_s)

            yield decode

    def close(self) -> None:
        """End the process."""
        self._process.close()


def open_decoders(limits: DecodeLimits, program: Sequence[str] = PROGRAM) -> Callable[[], BudgetedDecoder]:
    """Start the program that decodes; return a function that makes a decoder for a thread, within a shared budget."""
    budget, launcher = DecodeBudget(limits), DecoderLauncher(program)
    return lambda: BudgetedDecoder(budget, launcher.decoder())
