"""Decodes like the real program, but for pictures of certain widths: those it never finishes, each in its own way."""

from __future__ import annotations

import ctypes
import os
import signal
import time

from service.inference.decoding.photo import Photo, decode_image
from service.runtime import decoder_child

WAITS, COMPUTES, CRASHES, GROWS, FAILS = 61, 62, 63, 65, 66
"""Widths in pixels."""


def decode(data: bytes, max_pixels: int, min_side: int | None) -> Photo:
    photo = decode_image(data, max_pixels=max_pixels, min_side=min_side)
    if photo.width == WAITS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1000)
    if photo.width == COMPUTES:
        while True:
            pass
    if photo.width == CRASHES:
        ctypes.string_at(0)
    if photo.width == GROWS:
        return Photo(photo.pixels, len(os.urandom(2**31)), 1)
    if photo.width == FAILS:
        raise RuntimeError("this picture meets a defect of the decoder")
    return photo


if __name__ == "__main__":
    decoder_child.main(decode)
