"""glibc's malloc: which buffers it keeps, and when it gives back what is free."""

from __future__ import annotations

import ctypes
from typing import Final

LARGE_BUFFER: Final = 4 * 2**20
"""Bytes from which a buffer gets pages of its own."""

KEPT: Final = 32 * 2**20
"""Most free bytes at the end of a thread's heap that are not given back."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def return_large_buffers() -> bool:
    """Tell glibc to give buffers of `LARGE_BUFFER` bytes and more their own pages; return False without glibc.

    Left to itself glibc raises that bound to the largest buffer freed so far, up to 32 MiB: one large photograph, and
    all later ones lie between small things in the heap, which then never shrinks. With a bound of ours it would also
    give back what is free at a heap's end after every picture, and a thread would take 900 fresh pages for each.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, LARGE_BUFFER) and mallopt(_M_TRIM_THRESHOLD, KEPT))


def return_free_memory() -> bool:
    """Give pages without anything in them back to the system, once loading is over; return False without glibc.

    Loading a model takes several times its size for a while, and leaves it scattered over the heap.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return bool(trim and trim(0))
