"""Trackers: where a run records its metrics, its configuration and pictures."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tensorboardX import SummaryWriter

from service.atomic_write import atomic_write
from service.inference.faces import Pixels
from training.recipes.recipe import Recipe
from training.revision import revision

WANDB_ID: Final = "wandb-id.txt"


class Tracker:
    """Records metrics and pictures; this one drops them. Steps count over the whole run."""

    def begin(self, recipe: Recipe, step: int) -> None:
        """Record the configuration of a run that starts, or goes on, at `step`."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers at a step."""

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Record a picture, uint8 [h, w, 3], at a step."""

    def close(self) -> None:
        """Write what is buffered."""


class Trackers(Tracker):
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        """Pass everything on to each."""
        self.trackers = tuple(trackers)

    def begin(self, recipe: Recipe, step: int) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.begin(recipe, step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.scalars(step, values)

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.image(step, name, pixels)

    def close(self) -> None:
        """Pass on."""
        for tracker in self.trackers:
            tracker.close()


class CsvTracker(Tracker):
    """Epoch figures as lines `step,name,value` in a file that any program reads."""

    def __init__(self, path: Path) -> None:
        """Append to `path`."""
        self.path = path
        self.there = frozenset[tuple[str, str]]()

    def begin(self, recipe: Recipe, step: int) -> None:  # noqa: ARG002 - only the step matters to the file
        """Cut the file back to `step`: what a killed run wrote after its checkpoint is written again."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",")[0]) <= step]
        with atomic_write(self.path) as partial:
            partial.write_text("".join(["step,name,value\n", *kept]))
        self.there = frozenset((at, name) for at, name, _ in (line.split(",") for line in kept) if at == str(step))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line for each value that is not there yet: a validation that was cut off is repeated."""
        with self.path.open("a") as stream:
            for name, value in values.items():
                if (str(step), name) not in self.there:
                    stream.write(f"{step},{name},{value:.6g}\n")


class TensorBoardTracker(Tracker):
    """Scalars, pictures and the configuration in one event file a sitting."""

    def __init__(self, folder: Path) -> None:
        """Write to event files in `folder`."""
        self.folder = folder

    def begin(self, recipe: Recipe, step: int) -> None:
        """Open a new event file in which TensorBoard drops what a killed run wrote after `step`; record the recipe."""
        self.writer = SummaryWriter(str(self.folder), purge_step=step + 1, filename_suffix=f".{step}")
        self.writer.add_text("recipe", f"```\n{recipe.to_json()}```", step)
        self.writer.add_text("commit", revision(), step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers at a step."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Record a picture, uint8 [h, w, 3]."""
        self.writer.add_image(name, pixels, step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Write what is buffered."""
        self.writer.close()


class WandbTracker(Tracker):
    """One Weights & Biases run for each run folder, continued after a resume."""

    def __init__(self, folder: Path) -> None:
        """Name the run after the folder, where its files go too."""
        import wandb

        self.wandb, self.folder = wandb, folder

    def begin(self, recipe: Recipe, step: int) -> None:
        """Start or continue the run, with recipe and commit as its configuration."""
        config = {**json.loads(recipe.to_json()), "commit": revision(), "resumed_at": step}
        self.run = self.wandb.init(
            project="agelens",
            name=self.folder.name,
            id=self._run_id(),
            dir=self.folder,
            config=config,
            resume="allow",
        )

    def _run_id(self) -> str:
        """Return the id kept in the folder; by its name alone, another run in a folder so called would be continued."""
        kept = self.folder / WANDB_ID
        if not kept.exists():
            kept.write_text(secrets.token_hex(4) + "\n")
        return kept.read_text().strip()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers at a step."""
        self.run.log(dict(values), step=step)

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Record a picture, uint8 [h, w, 3]."""
        self.run.log({name: self.wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        """End the run and write what is buffered."""
        self.run.finish()
