"""`python -m docs.generate` writes every generated part anew; with `--check` it only says which are stale."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from docs.generate import code, measured, replies, rooms
from docs.generate.ablation import ablation_table
from docs.generate.blocks import Block, fill
from docs.generate.code import ROOT

BLOCKS: Final[Mapping[str, Block]] = {
    "settings": code.settings_table,
    "parameters": code.parameters_table,
    "problems": code.problems_table,
    "commands": code.commands_table,
    "statuses": code.statuses_table,
    "metrics": code.metrics_table,
    "warnings": code.warnings_table,
    "recipes": code.recipes_table,
    "accuracy": measured.accuracy_table,
    "ages": measured.ages_table,
    "worn": measured.worn_table,
    "default-accuracy": measured.default_accuracy,
    "default-trust": measured.default_trust,
    "speed-summary": measured.speed_summary,
    "speed": measured.speed_table,
    "estimators": measured.estimators_table,
    "gates": measured.gates_tables,
    "gate-example": measured.gate_example,
    "reliability": measured.reliability_part,
    "mixes": measured.mixes_table,
    "coverage": measured.coverage_table,
    "ablation": lambda: ablation_table(measured.MEASURED / "ablation.json"),
    "ablation-pieces": lambda: ablation_table(measured.MEASURED / "ablation-pieces.json"),
    "cards": measured.cards,
    "reply": replies.reply,
    "short-reply": replies.short_reply,
    "choices": measured.choices,
    "rooms": rooms.rooms_table,
}


def written() -> dict[Path, str]:
    """Return every document with generated parts as it should be."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return (
        {path: fill(path.read_text(), BLOCKS) for path in documents}
        | measured.plots()
        | {measured.IMAGES / "rooms.svg": rooms.rooms_plot()}
    )


def stale() -> list[str]:
    """Name the documents that are not as the code and the measurements say."""
    return [
        str(path.relative_to(ROOT)) for path, text in written().items() if not path.exists() or path.read_text() != text
    ]


def main(arguments: list[str]) -> int:
    """Write, or check; the exit status is 1 where a checked document is stale."""
    if "--check" in arguments:
        names = stale()
        sys.stdout.writelines(f"{name} is stale: run `python -m docs.generate`\n" for name in names)
        return int(bool(names))
    for path, text in written().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
