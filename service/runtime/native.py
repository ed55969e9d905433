"""What is asked of the C library itself: which buffers malloc keeps, and that a process end with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

LARGE_BUFFER: Final = 4 * 2**20
"""Bytes from which a buffer gets pages of its own."""

KEPT: Final = 32 * 2**20
"""Most free bytes at the end of a thread's heap that are not given back."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_PR_SET_PDEATHSIG: Final = 1


def return_large_buffers() -> bool:
    """Tell glibc to give buffers of `LARGE_BUFFER` bytes and more their own pages; return False without glibc.

    By default glibc raises that threshold to the largest buffer freed so far, up to 32 MiB: after one large photograph
    all later ones lie in the heap among small objects, and it never shrinks again. With a threshold of our own it would
    also trim the heap after every picture, each of which then takes 900 fresh pages; `KEPT` prevents that.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, LARGE_BUFFER) and mallopt(_M_TRIM_THRESHOLD, KEPT))


def return_free_memory() -> bool:
    """Give pages without anything in them back to the system, once loading is over; return False without glibc.

    Loading a model takes several times its size for a while, and leaves it scattered over the heap.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return bool(trim and trim(0))


def end_with_parent(parent: int) -> None:
    """Have Linux kill this process when process `parent`, which started it, ends; end now if it has ended already.

    Elsewhere than on Linux a process whose parent is killed later lives on until it notices.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
