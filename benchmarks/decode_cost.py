"""How far the prices of pictures are off: `python -m benchmarks.decode_cost [--mutated N] [--adversarial N]`.

Each picture that is not refused by its price alone is decoded, in this process and as it is priced: stripped, at full
size. Times are of the processor, not of the clock; where a picture came out dearer than its price, the least of three.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage import data as photographs

from benchmarks.soak import adversarial, adversarial_jpeg
from benchmarks.soak.pictures import mutated
from service.errors import PictureError
from service.inference.decoding.cost import PricedPicture, price
from service.inference.decoding.photo import decode_image

MAX_PIXELS = 50_000_000
BOUND = 0.5
"""Least share of the real time that a price must be."""


@dataclass(slots=True)
class Ratios:
    """Estimated by real seconds of pictures of one sort, and what else was seen of them."""

    sort: str
    found: list[tuple[float, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    longest_price_s: float = 0.0
    longest_s: float = 0.0

    def row(self) -> tuple[str, ...]:
        """Return the figures as a row of the table."""
        ratios = np.array([ratio for ratio, _ in self.found])
        least, worst = min(self.found)
        refused = ", ".join(f"{count} {name}" for name, count in sorted(self.refused.items()))
        spread = f"{np.median(ratios):.1f}, {np.quantile(ratios, 0.95):.1f}"
        times = f"{self.longest_price_s * 1e3:.0f} ms, {self.longest_s:.2f} s"
        return self.sort, f"{len(ratios):,}", refused, f"{least:.2f} ({worst})", spread, times


def good() -> Iterator[tuple[str, bytes]]:
    """Yield photographs of 0.3 to 12 megapixels as cameras, phones and programs write them."""
    pixels = photographs.astronaut()
    for width in (640, 2000, 4000):
        large = np.asarray(Image.fromarray(pixels).resize((width, width * 3 // 4)))
        grain = np.random.default_rng(0).normal(0, 4, large.shape)
        photo = np.clip(large + grain, 0, 255).astype(np.uint8)
        for fmt, options in (
            ("JPEG", {"quality": 80}),
            ("JPEG", {"quality": 95, "subsampling": 0}),
            ("JPEG", {"quality": 85, "progressive": True}),
            ("PNG", {"compress_level": 3}),
            ("WEBP", {"quality": 85, "method": 0}),
            ("WEBP", {"lossless": True, "method": 0, "quality": 0}),
            ("AVIF", {"quality": 75, "speed": 10}),
        ):
            yield f"{fmt} {options} {width}", adversarial_jpeg.encoded(photo, fmt, **options)


def measure(sort: str, pictures: Iterable[tuple[str, bytes]], max_s: float) -> Ratios:
    """Price and decode pictures; those over `max_s` are not decoded."""
    ratios = Ratios(sort)
    for name, picture in pictures:
        began = time.process_time()
        try:
            priced = price(picture, MAX_PIXELS)
        except PictureError as error:
            ratios.refused[type(error).__name__] += 1
            continue
        finally:
            ratios.longest_price_s = max(ratios.longest_price_s, time.process_time() - began)
        if priced.processor_s > max_s or priced.pixels > MAX_PIXELS:
            ratios.refused["over the budget"] += 1
            continue
        real_s = _decode_s(priced)
        if priced.processor_s < real_s:
            real_s = min(real_s, _decode_s(priced), _decode_s(priced))
        ratios.longest_s = max(ratios.longest_s, real_s)
        ratios.found.append((priced.processor_s / real_s, name))
    return ratios


def _decode_s(priced: PricedPicture) -> float:
    data = priced.data
    began = time.process_time()
    with suppress(PictureError):
        decode_image(data, max_pixels=MAX_PIXELS)
    return time.process_time() - began


def main() -> int:
    """Print a table; return 0 where every price is at least half of what the picture took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode_cost")
    parser.add_argument("sorts", nargs="*", help="good, adversarial, mutated; default: all")
    parser.add_argument("--mutated", type=int, default=10_000)
    parser.add_argument("--adversarial", type=int, default=200)
    parser.add_argument("--max-s", type=float, default=2.0)
    arguments = parser.parse_args()
    table = Table(
        "pictures", "decoded", "refused", "least price / real", "median, 95th percentile", "longest price, decode"
    )
    made = {
        "good": good(),
        "adversarial": adversarial.adversarial(arguments.adversarial),
        "mutated": (("mutated", each) for each in mutated(arguments.mutated)),
    }
    sorts = [measure(sort, made[sort], arguments.max_s) for sort in arguments.sorts or made]
    for each in sorts:
        table.add_row(*each.row())
    Console(width=160).print(table)
    return 0 if all(min(each.found)[0] >= BOUND for each in sorts) else 1


if __name__ == "__main__":
    sys.exit(main())
