"""Processes that decode, one for each thread, killed and replaced when they do not answer."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from service.errors import CorruptPicture, DeadlineExceeded, PictureError, PictureTooLarge, SetupError
from service.inference.decoding.cost import PricedPicture
from service.inference.decoding.photo import Photo
from service.runtime.decoder_child import ANSWER, ERRORS, GIVEN, QUESTION, READY, REQUEST

log: Final = structlog.stdlib.get_logger("agelens.decoder")

PROGRAM: Final = (sys.executable, "-m", "service.runtime.decoder_child")
_LOOK_S: Final = 0.05
"""Seconds between two checks, of a thread that waits for pixels, that its caller still waits."""
_START_S: Final = 120.0
_ASLEEP_S: Final = 5.0
"""Seconds without computing or answering after which a decoder hangs; one that computes has its processor limit."""


class DecoderLauncher:
    """Starts the program that forks decoders; the program ends when all its decoders are closed."""

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        """Start the program; raise SetupError if it does not start."""
        self._program = program
        self._lock = threading.Lock()
        self._decoders = 0
        self._start()

    @property
    def number(self) -> int:
        """The program's process id."""
        return self._process.pid

    def decoder(self) -> DecoderProcess:
        """Start a process for one more thread."""
        with self._lock:
            self._decoders += 1
        return DecoderProcess(self)

    def exchange(self, old: int = 0) -> tuple[int, socket.socket, int]:
        """Kill process `old`; return a new one's id and socket, and the old one's exit status.

        If the program itself has ended, with all its processes, it is started again.
        """
        with self._lock:
            try:
                return self._asked(old)
            except (EOFError, ConnectionError):
                self._end()
                self._start()
                return self._asked(0)

    def left(self) -> None:
        """Count one decoder less; end the program with the last one."""
        with self._lock:
            self._decoders -= 1
            if not self._decoders:
                self._end()

    def _asked(self, old: int) -> tuple[int, socket.socket, int]:
        self._socket.sendall(REQUEST.pack(old))
        given, descriptors, _, _ = socket.recv_fds(self._socket, GIVEN.size, 1)
        if len(given) < GIVEN.size:
            raise EOFError
        number, status = GIVEN.unpack(given)
        connection = socket.socket(fileno=descriptors[0])
        connection.settimeout(_LOOK_S)
        return number, connection, status

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_START_S)
        with theirs:
            command = [*self._program, str(theirs.fileno())]
            # One thread, or forking would not be safe: OpenBLAS makes some of its own while numpy is imported.
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(  # noqa: S603 - this program's own interpreter and module
                command,
                env=environment,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # while the service drains at Ctrl-C or a hang-up, it decodes
            )
        try:
            came_up = self._socket.recv(len(READY)) == READY
        except TimeoutError:
            came_up = False
        if not came_up:
            self._end()
            raise SetupError("the program that decodes pictures did not start; standard error says why")

    def _end(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait()


class DecoderProcess:
    """Decodes pictures one at a time for one thread; if the process ends, the next picture gets a new one."""

    def __init__(self, launcher: DecoderLauncher) -> None:
        """Start a process; `number` is its process id."""
        self._launcher = launcher
        self.number, self._socket, _ = launcher.exchange()

    def decode(
        self,
        picture: PricedPicture,
        max_pixels: int,
        min_side: int | None,
        max_s: float,
        checkpoint: Callable[[], None],
    ) -> tuple[Photo, float]:
        """Decode within `max_s` of processor time and the estimated memory; return also the seconds it took.

        `checkpoint` is called again and again meanwhile, and raises to stop. Raises PictureError, DeadlineExceeded.
        """
        if self._has_ended():
            self._replace()  # while it had nothing to do, so no picture is at fault
        for last in (False, True):
            look = partial(_look, _Sleep(self.number), checkpoint)
            try:
                outcome, used_s = self._ask(picture, max_pixels, min_side, max_s, look)
                break
            except (EOFError, ConnectionError) as lost:
                status = self._replace()
                # A socket that is reset was closed before the picture was read: so it is not at fault.
                if last or (status and not isinstance(lost, ConnectionError)):
                    raise _explained(status, picture.remedy) from None
            except BaseException:
                self._replace()
                raise
        if isinstance(outcome, PictureError):
            raise outcome
        return outcome, used_s

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._launcher.left()

    def _has_ended(self) -> bool:
        """Whether no process waits for a picture: its socket is at an end, or closed since none could be started."""
        if self._socket.fileno() < 0:
            return True
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(0))

    def _replace(self) -> int:
        """Kill the process, start a new one, and return the old one's exit status, 0 if it is unknown."""
        self._socket.close()
        self.number, self._socket, status = self._launcher.exchange(self.number)
        log.warning("decoder_replaced", status=status)
        return status

    def _ask(
        self, picture: PricedPicture, max_pixels: int, min_side: int | None, max_s: float, look: Callable[[], None]
    ) -> tuple[Photo | PictureError, float]:
        side = -1 if min_side is None else min_side
        length = sum(map(len, picture.pieces))
        self._send(QUESTION.pack(length, max_pixels, side, max_s, picture.memory_bytes), look)
        for piece in picture.pieces:
            self._send(piece, look)
        answer = bytearray(ANSWER.size)
        self._receive(memoryview(answer), look)
        number, used_s, text_length, rows, columns, width, height = ANSWER.unpack(answer)
        if number:
            text = bytearray(text_length)
            self._receive(memoryview(text), look)
            return ERRORS[number - 1](text.decode()), used_s
        pixels = np.empty((rows, columns, 3), np.uint8)
        self._receive(pixels.data.cast("B"), look)
        return Photo(pixels, width, height), used_s

    def _send(self, data: bytes | memoryview, look: Callable[[], None]) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except TimeoutError:
                look()

    def _receive(self, view: memoryview, look: Callable[[], None]) -> None:
        while view:
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                look()
                continue
            if not count:
                raise EOFError
            view = view[count:]


class _Sleep:
    """Measures how long a process has used no processor; 0 if the system does not say."""

    def __init__(self, number: int) -> None:
        self._stat = Path(f"/proc/{number}/stat")
        self._ticks = b""
        self._since = time.monotonic()

    def seconds(self) -> float:
        """Seconds since it last used a processor or waited for one."""
        try:
            fields = self._stat.read_bytes().rpartition(b")")[2].split()
        except OSError:
            return 0.0
        ticks = b" ".join(fields[11:13])
        if fields[0] == b"R" or ticks != self._ticks:
            self._ticks, self._since = ticks, time.monotonic()
        return time.monotonic() - self._since


def _look(asleep: _Sleep, checkpoint: Callable[[], None]) -> None:
    """Stop where the caller has left or the process hangs."""
    checkpoint()
    if asleep.seconds() > _ASLEEP_S:
        raise DeadlineExceeded("the picture's decoder stopped responding; send another picture")


def _explained(status: int, remedy: str) -> Exception:
    """Return the error of a picture whose decoder ended; `remedy` is against its taking too long."""
    if status == -signal.SIGPROF:
        return PictureTooLarge(
            f"decoding the picture takes more processor time than is allowed (AGELENS_MAX_DECODE_S); {remedy}"
        )
    if status == -signal.SIGKILL:
        return PictureTooLarge("the system had no memory left to decode the picture; scale it down")
    if status < 0:
        return CorruptPicture("the picture crashed its decoder; save it again with another program")
    return RuntimeError(f"a decoder ended with status {status}; standard error says why")
