"""`agelens models` and `agelens models verify`: list and check the files that models.lock.json names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.errors import SetupError
from service.inference.detection.face_proposals import FaceProposals
from service.inference.estimator import Estimator
from service.inference.lockfile import LockEntry, ModelLock, verified_path
from service.inference.manifest import Manifest
from service.settings import load_settings


@dataclass(frozen=True, slots=True)
class Installed:
    """A file of the lock as installed: its manifest if it is a valid model, or what is wrong with it."""

    entry: LockEntry
    manifest: Manifest | None = None
    trouble: str | None = None
    answers: bool = False
    """Whether it answers requests that name no model, where the settings do not name another."""

    @property
    def error_years(self) -> float | None:
        """Mean absolute error as last measured, or else as the file's own metrics have it."""
        metrics = self.manifest.metrics if self.manifest else {}
        return metrics.get("test_mae") if self.entry.error_years is None else self.entry.error_years

    def facts(self) -> dict[str, Any]:
        """Return everything known about the file, ready for JSON."""
        manifest = self.manifest.model_dump(mode="json", exclude={"intervals"}) if self.manifest else None
        return {**self.entry.model_dump(exclude_none=True), "manifest": manifest, "trouble": self.trouble}


def list_models(models_dir: Path | None, as_json: bool, verbose: bool) -> int:
    """Print the installed files; return 1 if one is wrong. Raise SetupError if there is no lock."""
    console = Console()
    found = list(inspect(load_settings(models_dir=models_dir).models_folder))
    if as_json:
        console.out(json.dumps([file.facts() for file in found], indent=2), highlight=False)
    else:
        console.print(_details(found) if verbose else _table(found))
        for file in found:
            if file.trouble:
                console.print(f"[red]✗[/] {escape(file.trouble)}")
    return int(any(file.trouble for file in found))


def verify_models(models_dir: Path | None) -> int:
    """Check the bytes of each file and run each model once; return 1 if one fails."""
    console = Console()
    folder = load_settings(models_dir=models_dir).models_folder
    console.print(f"{escape(str(folder))}", highlight=False)
    failed = 0
    for file in inspect(folder, run=True):
        failed += file.trouble is not None
        said = escape(file.trouble) if file.trouble else _soundness(file)
        console.print(f"{'[red]✗[/]' if file.trouble else '[green]✓[/]'} {file.entry.file}  {said}", highlight=False)
    return int(failed > 0)


def inspect(folder: Path, run: bool = False) -> Iterator[Installed]:
    """Inspect each file of the lock, and `run` the models; raise SetupError only if the lock itself is invalid."""
    lock = ModelLock.read(folder)
    answering = next((entry for entry in lock.of_kind("model") if entry.default), None)
    for entry in lock.files:
        if entry.kind == "sample":
            continue  # no part of any model
        try:
            path = verified_path(folder, entry)
            if entry.kind == "proposals":
                FaceProposals(folder)
            manifest = _manifest(path, entry, run) if entry.kind == "model" else None
            yield Installed(entry, manifest, answers=entry is answering)
        except SetupError as error:
            yield Installed(entry, trouble=str(error))


def _manifest(path: Path, entry: LockEntry, run: bool) -> Manifest:
    estimator = Estimator(path, entry.sha256)
    if run:
        estimator.warm_up()
    return estimator.manifest


def _soundness(file: Installed) -> str:
    return "size, sha256 and a first run are right" if file.manifest else "size and sha256 are right"


def _table(found: list[Installed]) -> Table:
    """Show a row for each model, and below each licence once."""
    table = Table("name", "version", "loaded", "error", "size", box=SIMPLE_HEAD, caption_justify="left")
    table.caption = (
        "answers: to requests that name no model; error: in years, on average over photographs kept for testing; "
        "--verbose: all metrics and files"
    )
    licences: dict[str, list[str]] = {}
    for column in table.columns:
        column.no_wrap = True
    for file in found:
        entry, manifest = file.entry, file.manifest
        if not manifest:
            continue
        licences.setdefault(manifest.licence, []).append(manifest.name)
        table.add_row(
            escape(manifest.name),
            manifest.version,
            "answers" if file.answers else "yes" if entry.default else "",
            "" if file.error_years is None else f"{file.error_years:.2f}",
            f"{entry.size / 1e6:.1f} MB",
        )
    for licence, names in licences.items():
        table.caption += escape(f"\nlicence of {'all' if len(licences) == 1 else ', '.join(names)}: {licence}")
    return table


def _details(found: list[Installed]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # what is cut short could not be copied
    for file in found:
        for name, value in _rows(file):
            table.add_row(name, escape(value))
        table.add_row()
    return table


def _use(file: Installed) -> str:
    if file.answers:
        return " (answers by default)"
    return " (loaded by default)" if file.entry.default else ""


def _rows(file: Installed) -> Iterator[tuple[str, str]]:
    entry, manifest = file.entry, file.manifest
    if manifest:
        yield "[bold]model[/]", f"{manifest.name} {manifest.version}{_use(file)}"
        yield "family", f"{manifest.family}, {manifest.precision}"
        metrics = [f"{name} {value:.3g}" for name, value in manifest.metrics.items() if "parity" not in name]
        if file.error_years is not None:
            measured = "as last measured" if entry.error_years is not None else "when the file was made"
            yield "error", f"{file.error_years:.2f} years, {measured}"
        if metrics:
            yield "metrics", ", ".join(metrics) + " (when the file was made)"
    else:
        yield f"[bold]{entry.kind}[/]", ""
    yield "licence", (manifest.licence if manifest else entry.licence) or ""
    yield "file", entry.file
    yield "sha256", entry.sha256
