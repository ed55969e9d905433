"""Memory that comes back: large buffers are given to the system when they are freed."""

from __future__ import annotations

import ctypes
from typing import Final

LARGE_BUFFER: Final = 4 * 2**20
"""Bytes from which a buffer gets pages of its own."""

_M_MMAP_THRESHOLD: Final = -3


def return_large_buffers() -> bool:
    """Tell glibc to give buffers of `LARGE_BUFFER` bytes and more their own pages; False where it is not glibc.

    Left to itself glibc raises that bound to the largest buffer freed so far, up to 32 MiB: one large photograph, and
    all later ones lie between small things in the heap, which then never shrinks.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, LARGE_BUFFER))
