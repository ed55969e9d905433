"""The decoding program: it forks a process for each thread, which the kernel ends at its limits.

`python -m service.runtime.decoder_child DESCRIPTOR`: each request on the socket of that number asks for a new process,
perhaps in place of one to kill; the reply carries the socket on which the new process takes pictures.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from service.errors import CorruptPicture, PictureError, PictureTooLarge, UnsupportedPicture
from service.inference.decoding.photo import Photo, decode_image
from service.runtime.native import end_with_parent, return_large_buffers

QUESTION: Final = struct.Struct("!QQqdQ")
"""Bytes of the encoded picture, most pixels, shorter side to keep (-1: all), processor seconds, bytes of memory."""
ANSWER: Final = struct.Struct("!BdIIIII")
"""0 or the error's number, processor seconds, bytes of the error's text, rows, columns, the photograph's two sides."""
REQUEST: Final = struct.Struct("!q")
"""The process to be killed and replaced, 0 for a further one."""
GIVEN: Final = struct.Struct("!qi")
"""The new process and the exit status of the old one; a socket comes with them."""
READY: Final = b"\1"
SPARE_BYTES: Final = 64 * 2**20
"""Address space beyond a picture's estimated memory: Python's own objects, and what malloc rounds up."""
ERRORS: Final[tuple[type[PictureError], ...]] = (UnsupportedPicture, PictureTooLarge, CorruptPicture, PictureError)
"""Errors that an answer can carry instead of pixels; the first has number 1."""

Decode = Callable[[bytes, int, int | None], Photo]


def main(decode: Decode | None = None) -> None:
    """Fork processes until the socket is closed. This one stays small and never decodes, so it always answers."""
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        parent.sendall(READY)
        program = os.getpid()
        children: set[int] = set()
        while len(request := parent.recv(REQUEST.size, socket.MSG_WAITALL)) == REQUEST.size:
            (old,) = REQUEST.unpack(request)
            status = _end(old) if old in children else 0
            children.discard(old)
            ours, theirs = socket.socketpair()
            with ours, theirs:
                if (new := os.fork()) == 0:
                    end_with_parent(program)
                    parent.close()
                    ours.close()
                    _live(theirs, decode or _decode)
                    return
                children.add(new)
                socket.send_fds(parent, [GIVEN.pack(new, status)], [ours.fileno()])
    for child in children:
        _end(child)


def _end(child: int) -> int:
    """Kill a child that was not waited for yet, so that its process id is still valid; return its exit status."""
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _live(asker: socket.socket, decode: Decode) -> None:
    """Serve; after an error leave the socket for the kernel to close, which does so once the exit status is set.

    Who reads that the socket is closed kills this process, and would have the status of that otherwise.
    """
    try:
        _serve(asker, decode)
    except BaseException:
        asker.detach()
        raise


def _serve(asker: socket.socket, decode: Decode) -> None:
    """Answer questions until the socket is closed."""
    return_large_buffers()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # where memory gets short, this process is the one to go
        Path("/proc/self/oom_score_adj").write_text("1000")
    sys.stderr = os.fdopen(os.dup(2), "w")  # for this program's own errors
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libjpeg and others write to it by themselves
    while len(question := asker.recv(QUESTION.size, socket.MSG_WAITALL)) == QUESTION.size:
        length, max_pixels, min_side, max_s, max_bytes = QUESTION.unpack(question)
        data = asker.recv(length, socket.MSG_WAITALL)
        with limits(max_s, max_bytes):
            _answer(asker, decode, data, max_pixels, None if min_side < 0 else min_side)


@contextmanager
def limits(max_s: float, max_bytes: int) -> Iterator[None]:
    """Let the kernel end this process after `max_s` of processor time, and limit its further memory to `max_bytes`.

    Both hold within the block only; limits of memory that the process was given stay.
    """
    given, most = resource.getrlimit(resource.RLIMIT_AS)
    used = _address_space()
    wanted = resource.RLIM_INFINITY if used is None else used + max_bytes + SPARE_BYTES
    signal.setitimer(signal.ITIMER_PROF, max_s)  # SIGPROF ends the process, whatever it is in
    resource.setrlimit(resource.RLIMIT_AS, (_lower(wanted, given), most))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (given, most))


def _lower(limit: int, other: int) -> int:
    """Return the lower of two limits; infinity is -1 in Linux."""
    return min((each for each in (limit, other) if each != resource.RLIM_INFINITY), default=resource.RLIM_INFINITY)


def _decode(data: bytes, max_pixels: int, min_side: int | None) -> Photo:
    return decode_image(data, max_pixels=max_pixels, min_side=min_side)


def _answer(asker: socket.socket, decode: Decode, data: bytes, max_pixels: int, min_side: int | None) -> None:
    began = time.process_time()
    try:
        photo = decode(data, max_pixels, min_side)
        pixels = np.ascontiguousarray(photo.pixels)
    except (PictureError, MemoryError) as error:
        said: PictureError = (
            PictureTooLarge("decoding the picture takes more memory than its header promises")
            if isinstance(error, MemoryError)
            else error
        )
        number = 1 + next(index for index, kind in enumerate(ERRORS) if isinstance(said, kind))
        text = str(said).encode()
        asker.sendall(ANSWER.pack(number, time.process_time() - began, len(text), 0, 0, 0, 0) + text)
        return
    del data
    rows, columns = pixels.shape[:2]
    asker.sendall(ANSWER.pack(0, time.process_time() - began, 0, rows, columns, photo.width, photo.height))
    asker.sendall(pixels.data.cast("B"))


def _address_space() -> int | None:
    """Bytes of this process's address space; None if the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return None


if __name__ == "__main__":
    main()
