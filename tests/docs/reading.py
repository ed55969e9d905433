"""The blocks of commands and code in the documents, with the marks that say how each is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
LANGUAGES: Final = ("bash", "sh", "console", "python", "javascript")

_BLOCK: Final = re.compile(r"^(?:<!-- run: ([a-z]+) -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, how it is run, and what it says."""

    document: str
    line: int
    mark: str | None
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    def at(self, address: str) -> str:
        """The text as it is, but for the address."""
        return self.text.replace("localhost:8000", address)


def blocks(mark: str | None = None, document: str | None = None) -> list[Block]:
    """List the blocks that can be run, of one mark or all, of one document or all."""
    found = [block for path in DOCUMENTS for block in _of(path) if block.language in LANGUAGES]
    return [
        block
        for block in found
        if (mark is None or block.mark == mark) and (document is None or block.document == document)
    ]


def _of(path: Path) -> Iterator[Block]:
    text = path.read_text()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(str(path.relative_to(ROOT)), line, match[1], match[2], match[3])
