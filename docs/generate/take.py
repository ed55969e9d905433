"""Takes an evaluation into the documents: `python -m docs.generate.take runs/evaluation NAME ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs.generate.gates import gates
from docs.generate.measured import MEASURED

_LEFT_OUT = ("missed_examples",)
"""They name files of data sets."""


def take(folder: Path, name: str) -> None:
    """Keep what `agelens-train evaluate` measured of a model, without file names, and its gates."""
    tree = json.loads((folder / f"{name}.json").read_text())
    kept = {key: value for key, value in tree.items() if key not in _LEFT_OUT}
    (MEASURED / f"{name}.evaluation.json").write_text(json.dumps(kept, indent=1) + "\n")
    (MEASURED / f"{name}.gates.json").write_text(json.dumps(gates(folder / f"{name}.npz"), indent=1) + "\n")


if __name__ == "__main__":
    for model in sys.argv[2:]:
        take(Path(sys.argv[1]), model)
