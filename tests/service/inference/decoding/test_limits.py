"""Limits on the price of a picture: which are refused and how, and which are decoded at a smaller scale instead."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.soak import adversarial, adversarial_jpeg
from service.errors import PictureTooLarge
from service.inference.decoding.cost import PricedPicture
from service.inference.decoding.cost import price as price_of
from service.inference.decoding.decoder import DirectDecoder
from service.inference.decoding.limits import DecodeLimits
from service.settings import Settings
from tests.service.doubles import grey

AMPLE = 10**12


def price(data: bytes) -> PricedPicture:
    return price_of(data, 10**8)


def scales(data: bytes, limits: DecodeLimits, max_pixels: int = 10**8) -> list[float]:
    """Scales at which a picture is decoded as fine as may be, and with a shorter side of 100 and 600 pixels."""
    with DirectDecoder(limits).open(data, max_pixels, lambda: None) as decode:
        return [decode(side).scale for side in (None, 100, 600)]


def test_limits_are_by_default_those_of_the_settings() -> None:
    assert Settings().decode_limits == DecodeLimits()


@pytest.mark.parametrize("limit", ["time", "memory"])
def test_jpeg_of_one_scan_is_decoded_at_the_finest_scale_within_the_limits(limit: str) -> None:
    data = adversarial_jpeg.stripes(1600, 1200, "JPEG")
    whole = price(data)
    half = whole.smaller
    assert half
    within = DecodeLimits(half.processor_s, AMPLE) if limit == "time" else DecodeLimits(9, half.memory_bytes)
    assert scales(data, DecodeLimits(whole.processor_s, AMPLE)) == [1.0, 0.125, 0.5]
    assert scales(data, within) == [0.5, 0.125, 0.5]
    assert scales(data, within, max_pixels=1600 * 1200 // 2) == [0.5, 0.125, 0.5]


def test_every_scale_has_its_own_price_and_the_limit_on_pixels_holds_for_all() -> None:
    data = adversarial_jpeg.stripes(1600, 1200, "JPEG")
    chain = [price_of(data, 1600 * 1200 // 2)]
    while chain[-1].smaller:
        chain.append(chain[-1].smaller)
    assert [each.divisor for each in chain] == [2, 4, 8]
    assert [each.processor_s for each in chain] == sorted({each.processor_s for each in chain}, reverse=True)
    assert [each.memory_bytes for each in chain] == sorted({each.memory_bytes for each in chain}, reverse=True)


def test_a_scan_of_one_component_of_three_keeps_the_whole_picture_in_memory_at_any_scale() -> None:
    tables = [adversarial_jpeg.huffman(0, 0), adversarial_jpeg.huffman(0x10, 0)]
    one, together = (
        price(
            adversarial_jpeg.jpeg(
                1600, 1200, [*tables, adversarial_jpeg.scan(shown, 0, 63, 0, bytes(8))], kind=0xC1, sampling=(0x11,) * 3
            )
        )
        for shown in ((1,), (1, 2, 3))
    )
    assert one.smaller is None
    assert together.smaller
    assert one.memory_bytes > 1.5 * together.memory_bytes


@pytest.mark.parametrize("data", [adversarial.flat_png(300), adversarial_jpeg.progressive_empty_scans(5, 600)])
def test_what_cannot_be_decoded_cheaper_is_refused(data: bytes) -> None:
    price_s = price(data).processor_s
    assert scales(data, DecodeLimits(price_s, AMPLE))[0] == 1.0
    with pytest.raises(PictureTooLarge, match=r"AGELENS_MAX_DECODE_S\); scale it down or save it as a baseline JPEG"):
        scales(data, DecodeLimits(0.99 * price_s, AMPLE))


def test_one_that_is_a_baseline_jpeg_is_not_to_be_saved_as_one() -> None:
    with pytest.raises(PictureTooLarge, match=r"AGELENS_MAX_DECODE_S\); scale it down$"):
        scales(grey(fmt="JPEG"), DecodeLimits(0.001, AMPLE))


def test_what_is_over_a_limit_by_little_is_not_said_to_be_within() -> None:
    picture = price(grey())
    for over in ({"processor_s": 2.001}, {"memory_bytes": 1024 * 2**20 + 1}):
        with pytest.raises(PictureTooLarge) as caught:
            DecodeLimits(2.0, 1024 * 2**20).admitted(replace(picture, **over))
        found = re.search(r"up to ([\d.]+) .* at most ([\d.]+) ", str(caught.value))
        assert found
        assert float(found[1]) > float(found[2])
