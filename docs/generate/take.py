"""Takes an evaluation into the documents: `python -m docs.generate.take runs/evaluation NAME ...`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.generate.code import ROOT
from docs.generate.gates import gates
from docs.generate.measured import MEASURED
from service.inference.lockfile import ModelLock

_LEFT_OUT = ("missed_examples",)
"""They name files of data sets."""


def take(folder: Path, name: str) -> None:
    """Keep what `agelens-train evaluate` measured of a model, without file names, its gates, and note its error."""
    tree = json.loads((folder / f"{name}.json").read_text())
    kept = {key: value for key, value in tree.items() if key not in _LEFT_OUT}
    (MEASURED / f"{name}.evaluation.json").write_text(json.dumps(kept, indent=1) + "\n")
    (MEASURED / f"{name}.gates.json").write_text(json.dumps(gates(folder / f"{name}.npz"), indent=1) + "\n")
    note_error(ROOT / "models", name, tree)


def note_error(models_dir: Path, name: str, evaluation: Mapping[str, Any]) -> None:
    """Write a model's mean error in years, over all data sets it was measured on, into the folder's lock."""
    error = round(float(evaluation["results"]["pooled"]["mae"]), 2)
    files = ModelLock.read(models_dir).files
    noted = (each.model_copy(update={"error_years": error}) if each.file == f"{name}.onnx" else each for each in files)
    ModelLock(files=tuple(noted)).write(models_dir)


if __name__ == "__main__":
    for model in sys.argv[2:]:
        take(Path(sys.argv[1]), model)
