"""Choose the media type of a reply from the Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from service.errors import NotAcceptable


def best_media_type(accept: str | None, offers: Sequence[str]) -> str:
    """Return the offer with the highest quality, the first of equals; raise NotAcceptable if none is accepted."""
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
    """Return the quality of the most specific range that matches `offer`, 0 if none does."""
    kind = offer.split("/", maxsplit=1)[0]
    for wanted in (offer, f"{kind}/*", "*/*"):
        for media, quality in ranges:
            if media == wanted:
                return quality
    return 0.0
