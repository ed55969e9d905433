"""One face through float32 and int8, by ONNX Runtime's providers that are installed: `precision_times` runs pinned."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Findings, Spread
from benchmarks.pinned import ask, cores
from benchmarks.scale import Scale
from service.errors import InvalidModelFile
from service.inference.estimator import Estimator
from service.inference.lockfile import ModelLock, verified_path
from service.settings import load_settings

PROVIDERS: Final = ("CPUExecutionProvider", "OpenVINOExecutionProvider")
_WARM_UP: Final = 5


def run(scale: Scale, console: Console) -> Findings:
    """Compare int8 by its quickest provider with float32 by ONNX Runtime's own, family by family; keep the worst."""
    found: dict[str, dict[str, Any]] = ask("benchmarks.measurements.precision", str(scale.repeats), core=cores()[0])
    table = Table("model", "family", "precision", *PROVIDERS)
    for name, facts in found.items():
        times = [f"{facts['ms'][each]['median']:.2f} ms" if each in facts["ms"] else "" for each in PROVIDERS]
        table.add_row(name, facts["family"], facts["precision"], *times)
    console.print(table)
    ratios = list(_ratios(found).values())
    figures = {"int8_over_float32": max(ratios)} if ratios else {}
    return Findings(figures, {"precision": {"models": found, "ratios": _ratios(found)}})


def _ratios(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    floats = {facts["family"]: facts["ms"] for facts in found.values() if facts["precision"] == "float32"}
    return {
        name: min(each["median"] for each in facts["ms"].values()) / floats[facts["family"]][PROVIDERS[0]]["median"]
        for name, facts in found.items()
        if facts["precision"] == "int8" and facts["family"] in floats
    }


def main() -> None:
    """Time each locked model with each provider, taking turns: COUNT; print JSON."""
    count = int(sys.argv[1])
    folder = load_settings().models_folder
    sessions: dict[tuple[str, str], Estimator] = {}
    for entry in ModelLock.read(folder).of_kind("model"):
        for provider in PROVIDERS:
            try:
                sessions[entry.file, provider] = Estimator(verified_path(folder, entry), entry.sha256, 1, (provider,))
            except InvalidModelFile:
                continue  # this provider is not installed
    rounds: dict[tuple[str, str], list[float]] = {key: [] for key in sessions}
    rng = np.random.default_rng(0)
    for number in range(count + _WARM_UP):
        for key, estimator in sessions.items():
            size = estimator.manifest.crop.size
            face = rng.integers(0, 256, (1, size, size, 3), dtype=np.uint8)
            began = time.perf_counter()
            estimator.estimate(face)
            if number >= _WARM_UP:
                rounds[key].append((time.perf_counter() - began) * 1e3)
    facts: dict[str, Any] = {}
    for (_, provider), estimator in sessions.items():
        manifest = estimator.manifest
        kept = facts.setdefault(manifest.name, {"family": manifest.family, "precision": manifest.precision, "ms": {}})
        key = next(key for key, each in sessions.items() if each is estimator)
        kept["ms"][provider] = Spread(tuple(rounds[key])).facts()
    sys.stdout.write("\n" + json.dumps(facts) + "\n")


if __name__ == "__main__":
    ort.set_default_logger_severity(3)
    main()
