"""What the JSON body of a prediction takes to read."""

from __future__ import annotations

import base64
import tracemalloc

import pytest

from service.api.json_picture import picture_in
from service.errors import InvalidParameter, MalformedBody


def test_blanks_between_digits_of_base64_take_no_memory_of_their_own() -> None:
    digits = base64.b64encode(bytes(600_000)).decode()
    body = ('{"image":"' + " ".join(digits[at : at + 2] for at in range(0, len(digits), 2)) + '"}').encode()
    tracemalloc.start()
    try:
        assert picture_in(body) == bytes(600_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"image": "data:image/jpeg;base64,QUJD"}',
        b'{"image": "data:image/jpeg;name=\\"a.jpg\\";BASE64,QUJD"}',
        b'{"image": "data:image/jpeg;name=a,b.jpg;base64,QUJD"}',
        b'\xef\xbb\xbf{"image": "QUJD"}',
    ],
)
def test_a_picture_may_be_a_data_url_and_the_body_begin_with_a_byte_order_mark(body: bytes) -> None:
    assert picture_in(body) == b"ABC"


@pytest.mark.parametrize("body", [b'{"images": "QUJD"}', b'{"image": 5, "images": "QUJD"}'])
def test_a_misspelt_member_is_named_with_the_one_that_is_known(body: bytes) -> None:
    with pytest.raises(InvalidParameter, match=r"images in the JSON is not known; did you mean image\?"):
        picture_in(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"image": "aGVsb', "not valid JSON"),
        (b"\xff\xd8\xff", "not valid JSON"),
        (b"[]", "not an object"),
        (b"{}", "has no `image`"),
        (b'{"image": 5}', "is not text in base64"),
        (b'{"image": ["QUJD"]}', "is not text in base64"),
    ],
)
def test_a_body_that_has_no_picture_is_told_why(body: bytes, message: str) -> None:
    with pytest.raises(MalformedBody, match=message):
        picture_in(body)
