"""Generated parts of a Markdown file, each between `<!-- generated: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from training.export.card import markdown

Block = Callable[[], str]

_PART: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, blocks: Mapping[str, Block]) -> str:
    """Return `text` with every generated part written anew; raise KeyError for a part that nobody makes."""
    return _PART.sub(lambda part: f"{part[1]}{_padded(blocks[part[2]]())}{part[3]}", text)


def _padded(content: str) -> str:
    return f"\n{content.strip()}\n\n" if content.strip() else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, or nothing where there are no rows."""
    return markdown(head, rows) if rows else ""


def ranged(row: Mapping[str, Any], key: str, shown: str = ".2f") -> str:
    """Return a figure with its 95 % interval."""
    return f"{row[key]:{shown}} ({row[f'{key}_low']:{shown}}–{row[f'{key}_high']:{shown}})"
