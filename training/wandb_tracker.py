"""Weights & Biases; `WANDB_MODE=offline` keeps everything on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import wandb

from service.types import Pixels
from training.config import Recipe
from training.revision import revision
from training.tracking import Tracker


class WandbTracker(Tracker):
    """One Weights & Biases run for one run folder, gone on with after a resume."""

    def __init__(self, folder: Path, project: str = "agelens") -> None:
        """Keep the folder's name as the run's; its files go into the folder."""
        self.folder, self.project = folder, project

    def begin(self, recipe: Recipe, step: int) -> None:
        """Start the run, or go on with it, with recipe and commit as its configuration."""
        config = {**json.loads(recipe.to_json()), "commit": revision(), "resumed_at": step}
        self.run = wandb.init(
            project=self.project,
            name=self.folder.name,
            id=self.folder.name,
            dir=self.folder,
            config=config,
            resume="allow",
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Note numbers at a step."""
        self.run.log(dict(values), step=step)

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Note a picture, uint8 [h, w, 3]."""
        self.run.log({name: wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        """End the run and write out what is held back."""
        self.run.finish()
