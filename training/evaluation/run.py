"""`agelens-train evaluate`: measure model files on datasets; write JSON, raw distributions and an HTML report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import onnx

from service.errors import InvalidParameter
from service.inference.detection.detector import BlazeFaceDetector, FaceDetector
from service.inference.lockfile import ModelLock
from service.inference.pipeline import load_models
from training.data.gather import Duplicates, gather
from training.datasets import Listing
from training.evaluation.evaluate import evaluate, photographs, training_median
from training.evaluation.report import report
from training.evaluation.robustness import robustness
from training.export.lock import fingerprint


def named_paths(pairs: Sequence[str]) -> dict[str, Path]:
    """Split texts like `name=path`; `-` in a name is read as `_`. Raise InvalidParameter.

    A name may be given once: the first of two would be dropped without a word.
    """
    found = dict[str, Path]()
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not name or not equals or not path:
            raise InvalidParameter(f"write a dataset as name=path, for instance utkface=data/utkface.zip, not {pair!r}")
        if (name := name.replace("-", "_")) in found:
            raise InvalidParameter(f"{name} is given twice, as {found[name]} and as {path}; give it once")
        found[name] = Path(path)
    return found


def listings(
    datasets: Sequence[str], indexes: Sequence[str], options: Sequence[str] = (), duplicates: Duplicates = "group"
) -> list[Listing]:
    """Read datasets given as `name=path`, split as `prepare` splits them; raise InvalidParameter or DatasetError.

    `options` are the readers' own: `key=value` for all datasets, `name=key=value` for one. With `duplicates` they
    must be those of `prepare`, else the splits are others.
    """
    roots, tables = named_paths(datasets), named_paths(indexes)
    stray = tables.keys() - roots.keys()
    if stray:
        raise InvalidParameter(f"an index is given for {', '.join(sorted(stray))}, but no such dataset")
    return [
        gather(name, root, tables.get(name), _options_of(name, roots, options), duplicates)
        for name, root in roots.items()
    ]


def _options_of(name: str, names: Collection[str], options: Sequence[str]) -> list[str]:
    """Return the options for the dataset `name`: those that name it, without its name, and those that name none."""
    parts = [(option.partition("=")[0].replace("-", "_"), option) for option in options]
    return [
        option.partition("=")[2] if head == name else option
        for head, option in parts
        if head == name or head not in names
    ]


def measure(
    datasets: Sequence[str],
    indexes: Sequence[str],
    models: Sequence[str],
    models_dir: Path,
    out: Path,
    *,
    options: Sequence[str] = (),
    duplicates: Duplicates = "group",
    split: str | None = "test",
    limit: int | None = None,
    robustness_photographs: int = 0,
    workers: int | None = None,
) -> Path:
    """Evaluate models on original photographs and write `out/NAME.json`, `out/NAME.npz` and `out/report.html`.

    `models` empty means the lock's defaults; `options` and `duplicates` are those of `listings`.
    `robustness_photographs` of each dataset are measured again in each worn or altered version.
    Returns the page's path. Raises SetupError, InvalidParameter, DatasetError or ValueError.
    """
    read_sets = listings(datasets, indexes, options, duplicates)
    estimators = load_models(models_dir, list(models) or None)

    def make_detector() -> FaceDetector:
        return BlazeFaceDetector(models_dir)

    by_bytes = {entry.sha256: entry.file for entry in ModelLock.read(models_dir).of_kind("model")}
    files = {name: fingerprint(onnx.load(models_dir / by_bytes[each.sha256])) for name, each in estimators.items()}
    extras: dict[str, dict[str, Any]] = {
        name: {"split": split or "all", "command": command(), "fingerprint": value} for name, value in files.items()
    }
    if robustness_photographs:
        shown = photographs(read_sets, split, robustness_photographs)
        for name, rows in robustness(estimators, make_detector, shown, workers=workers).items():
            extras[name]["robustness"] = rows
    evaluate(
        estimators,
        make_detector,
        photographs(read_sets, split, limit),
        out,
        fallback_age=training_median(read_sets),
        workers=workers,
        extras=extras,
    )
    return report(out, list(estimators), out / "report.html")


def command() -> str:
    """Return the `agelens-train` command line with the last part of each path only, so that it names no one's folders.

    The program is named as it is installed, also where it was started as a module.
    """
    words = ["agelens-train"]
    for word in sys.argv[1:]:
        name, equals, path = word.rpartition("=")
        words.append(name + equals + (Path(path).name if "/" in path else path))
    return shlex.join(words)
