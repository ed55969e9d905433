"""How much work the search of a picture may be, counted in windows that BlazeFace judges, 1.5 ms of a processor each.

By counts, not by a clock, so that the same bytes get the same answer. docs/adr/0019 has what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from service.inference.decoding.photo import Photo

MOST_WORK: Final = 720.0
"""Work of a search in a small picture, whose decoding costs nothing beside it."""

LEAST_WORK: Final = 140.0
"""What judging the places of any picture may cost."""

WINDOW: Final = 1.0
VIEW: Final = 4.0
CLOSE_VIEWS: Final = 0.45
"""Work of one window that is judged, of one view of 512 pixels, and of the close views of one place."""

_PRICED_SECOND: Final = 310.0  # half of which decoding takes, and that twice where crops want more pixels
CLOSE_SHARE: Final = 0.25
"""Share of the work that close views may be."""

Item = TypeVar("Item")


def search_work(photo: Photo) -> float:
    """Return the work that searching a photograph may be: the less, the more its decoding may cost."""
    return max(LEAST_WORK, MOST_WORK - photo.priced_s * _PRICED_SECOND)


class SearchWork:
    """The work that is left for one picture; `capped` says that it was too little."""

    def __init__(self, work: float, views: int) -> None:
        """Start with `work`, of which `views` views have taken their part."""
        self._left = max(LEAST_WORK, work - views * VIEW)
        self.capped = False

    def afforded(self, items: Sequence[Item], each: float = WINDOW, share: float = 1.0) -> Sequence[Item]:
        """Return the first of `items` that there is enough left for at `each`, in a share of it, and take that."""
        count = min(len(items), int(share * self._left / each))
        self._left -= count * each
        self.capped = self.capped or count < len(items)
        return items[:count]
