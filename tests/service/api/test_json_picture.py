"""What the JSON body of a prediction takes to read."""

from __future__ import annotations

import base64
import tracemalloc

from service.api.json_picture import picture_in


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
