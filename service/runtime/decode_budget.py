"""What decoding may take: seconds and bytes for one picture, and bytes for those of all threads together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from service.errors import PictureTooLarge
from service.inference.decoding.cost import PricedPicture, price
from service.inference.decoding.decoder import Decode
from service.inference.imaging import Photo
from service.runtime.decoder_process import PROGRAM, DecoderLauncher, DecoderProcess

_LOOK_S: Final = 0.05
_LEAST_S: Final = 0.05
"""Processor seconds that a further decode of the same picture has in any case."""


class DecodeBudget:
    """Lets pictures be decoded whose price is within the limits, and as many at once as the memory allows."""

    def __init__(self, max_s: float, max_bytes: int) -> None:
        """Allow each picture `max_s` of processor time, and all at once `max_bytes`."""
        self.max_s = max_s
        self._max_bytes = max_bytes
        self._used = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def reserved_bytes(self) -> int:
        """Bytes that pictures hold now."""
        return self._used

    def check(self, picture: PricedPicture) -> None:
        """Raise PictureTooLarge where a picture is not to be decoded at all."""
        if picture.processor_s > self.max_s:
            raise PictureTooLarge(
                f"decoding the picture would take up to {picture.processor_s:.1f} s of a processor; at most "
                f"{self.max_s:g} s are allowed (AGELENS_MAX_DECODE_S); scale it down or save it as a baseline JPEG"
            )
        if picture.memory_bytes > self._max_bytes:
            raise PictureTooLarge(
                f"decoding the picture would take up to {picture.memory_bytes / 2**20:.0f} MB of memory; at most "
                f"{self._max_bytes / 2**20:.0f} MB are allowed (AGELENS_MAX_DECODE_MB); scale it down"
            )

    @contextmanager
    def reserved(self, count: int, checkpoint: Callable[[], None]) -> Iterator[None]:
        """Hold `count` bytes, in the order of asking; `checkpoint` is called while there are not enough."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._used + count > self._max_bytes:
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
    """Opens pictures for one thread's pipeline: priced, admitted, and decoded in a process that can be stopped."""

    def __init__(self, budget: DecodeBudget, process: DecoderProcess) -> None:
        """Decode in `process` what `budget` allows."""
        self._budget = budget
        self._process = process

    @contextmanager
    def open(self, data: bytes, max_pixels: int, checkpoint: Callable[[], None]) -> Iterator[Decode]:
        """Yield a function that decodes `data` at a scale; its memory is held until the block is left.

        Raises UnsupportedPicture, CorruptPicture, PictureTooLarge.
        """
        picture = price(data, max_pixels)
        self._budget.check(picture)
        left_s = self._budget.max_s
        with self._budget.reserved(picture.memory_bytes, checkpoint):

            def decode(min_side: int | None) -> Photo:
                nonlocal left_s
                photo, used_s = self._process.decode(picture, max_pixels, min_side, left_s, checkpoint)
                left_s = max(_LEAST_S, left_s - used_s)
                return photo

            yield decode

    def close(self) -> None:
        """End the process."""
        self._process.close()


def open_decoders(max_s: float, max_bytes: int, program: Sequence[str] = PROGRAM) -> Callable[[], BudgetedDecoder]:
    """Start the program that decodes; return what makes a decoder for each thread, all within one budget."""
    budget, launcher = DecodeBudget(max_s, max_bytes), DecoderLauncher(program)
    return lambda: BudgetedDecoder(budget, launcher.decoder())
