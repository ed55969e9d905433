from __future__ import annotations

import gc
import weakref
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.uploads import MultipartImages, Upload
from service.errors import BodyTooLarge, InvalidParameter, MalformedBody

PICTURE = b"\r\n--b\r not a boundary --b-- \r\n--"
BODY = (
    b'preamble\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="\xc3\xa4.png"\r\n'
    b"Content-Type: image/png\r\n\r\n" + PICTURE + b"\r\n--b--\r\nepilogue"
)[10:]


def form(name: str = "file", max_parts: int = 1) -> MultipartImages:
    return MultipartImages(b"b", name, max_parts)


@given(st.lists(st.integers(0, len(BODY)), max_size=8))
def test_chunks_may_end_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    fed = form()
    for start, end in pairwise(edges):
        fed.feed(BODY[start:end])
    assert fed.finish() == [Upload(PICTURE, "ä.png")]


@pytest.mark.parametrize("sizes", [(5000, 3, 7, 5000, 1, 6000), (1, 5000, 2), (9000,), (30, 40, 50)])
def test_picture_in_large_and_small_pieces_is_put_together_in_order(sizes: tuple[int, ...]) -> None:
    picture = bytes(range(1, 251)) * (sum(sizes) // 250 + 1)
    head, _, tail = BODY.partition(PICTURE)
    fed = form()
    fed.feed(head)
    ends = [0, *accumulate(sizes)]
    for start, end in pairwise(ends):
        fed.feed(picture[start:end])
    fed.feed(tail)
    assert fed.finish() == [Upload(picture[: ends[-1]], "ä.png")]


def test_pictures_of_a_form_are_freed_with_it_and_not_by_the_collector() -> None:
    fed = form()
    fed.feed(BODY)
    fed.finish()
    gc.collect()
    gc.disable()
    try:
        left = [weakref.ref(each) for each in (fed, fed._parts)]
        del fed
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("cut", [1, 30, len(BODY) - 14])
def test_form_that_is_cut_short_is_malformed(cut: int) -> None:
    fed = form()
    fed.feed(BODY[:cut])
    with pytest.raises(MalformedBody, match="closing boundary"):
        fed.finish()


def part(name: str) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n\xff\r\n'


def test_form_without_a_part_is_malformed() -> None:
    fed = form("files")
    fed.feed(b"--b--")
    with pytest.raises(MalformedBody, match="`files`"):
        fed.finish()


def test_one_picture_too_many_is_refused_at_its_headers() -> None:
    fed = form(max_parts=2)
    fed.feed(part("file") * 2)
    with pytest.raises(BodyTooLarge, match="at most 2"):
        fed.feed(part("file"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("files", "files in the form is not known; did you mean file"),
        ("photo", "photo in the form is not known; known: file"),
        (
            "thresholds",
            r"thresholds in the form belongs in the URL's query, as \?thresholds=…; the form takes `file`",
        ),
    ],
)
def test_field_that_is_not_known_is_named_with_the_one_that_is(name: str, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        form().feed(part(name))


@pytest.mark.parametrize(
    "header", [b"", b"X: y", b"Content-Disposition: attachment; name=file", b"Content-Disposition: form-data"]
)
def test_part_without_a_name_is_malformed(header: bytes) -> None:
    with pytest.raises(MalformedBody):
        form().feed(b"--b\r\n" + header + b"\r\n\r\nx\r\n--b--")


def test_headers_of_a_part_are_bounded() -> None:
    with pytest.raises(MalformedBody):
        form().feed(b"--b\r\nX: " + b"y" * 10_000)
