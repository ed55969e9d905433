"""The recorded reply about NASA's portrait, as the documents show it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from docs.generate.code import ROOT

REPLY: Final = ROOT / "docs" / "measured" / "reply.json"

_SHOWN: Final = 3
_INNERMOST: Final = re.compile(r"([\[{])\s+((?:[^][{}]|\[\])*?)\s+([\]}])")


def recorded(path: Path = REPLY) -> dict[str, Any]:
    """Return the reply without its timings: `make bench` measures time, on an idle machine."""
    document: dict[str, Any] = json.loads(path.read_text())
    return {**document, "timings_ms": dict.fromkeys(document["timings_ms"], "…")}


def reply() -> str:
    """Return the whole reply, with only the first and last of the 100 probabilities."""
    document = recorded()
    for face in document["faces"]:
        curve = face["threshold_probabilities"]
        face["threshold_probabilities"] = [*curve[:_SHOWN], "…", *curve[-_SHOWN:]]
    return _block(document)


def short_reply() -> str:
    """Return the reply without landmarks, probabilities and timings."""
    document = recorded()
    del document["timings_ms"]
    for face in document["faces"]:
        del face["threshold_probabilities"], face["landmarks"]
    return _block(document)


def _block(document: dict[str, Any]) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False).replace('"…"', "…")
    one_line = _INNERMOST.sub(lambda found: found[1] + " ".join(found[2].split()) + found[3], text)
    return f"```json\n{one_line}\n```"
