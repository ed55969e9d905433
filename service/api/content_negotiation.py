"""Which media type a caller accepts (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from service.errors import NotAcceptable


def best_media_type(accept: str | None, offers: Sequence[str]) -> str:
    """Return the offer that `accept` likes best, the first among equals; raise NotAcceptable where none is."""
    if not accept:
        return offers[0]
    ranges = [_parse(item) for item in accept.split(",") if item.strip()]
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    if ranges and _quality(best, ranges) <= 0:
        raise NotAcceptable(f"the reply can be {' or '.join(offers)}; accept one of them")
    return best


def _parse(item: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return media, float(value)
            except ValueError:
                return media, 0.0
    return media, 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Quality of the most specific range that covers `offer`, 0 without one."""
    kind = offer.split("/", maxsplit=1)[0]
    for wanted in (offer, f"{kind}/*", "*/*"):
        for media, quality in ranges:
            if media == wanted:
                return quality
    return 0.0
