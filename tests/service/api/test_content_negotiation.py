from __future__ import annotations

import pytest

from service.api.content_negotiation import best_media_type
from service.errors import NotAcceptable

OFFERS = ["application/json", "application/x-ndjson"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, 0),
        ("", 0),
        ("*/*", 0),
        ("application/*;q=0.5", 0),
        ("application/x-ndjson", 1),
        ("application/json;q=0.1, application/x-ndjson;q=0.9", 1),
        ("application/json;q=0, */*", 1),
        ("text/html, */*;q=0.1", 0),
        (" Application/JSON ", 0),
    ],
)
def test_best_offer_is_chosen(accept: str | None, chosen: int) -> None:
    assert best_media_type(accept, OFFERS) == OFFERS[chosen]


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0, application/x-ndjson;q=0", "*/*;q=wrong"])
def test_nothing_acceptable_is_an_error(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/json"):
        best_media_type(accept, OFFERS)
