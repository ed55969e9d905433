"""Checkpoints: one file with everything a run needs to resume, replaced atomically."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import CheckpointCorrupt
from training.fit.schedule import Progress
from training.run_folder import CHECKPOINT, PREVIOUS, replace_file

Variables = list[NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """Variables of the model (including the random state of dropout), of the weight average and of the optimiser."""

    recipe: str
    progress: Progress
    model: Variables
    average: Variables
    optimizer: Variables

    def save(self, folder: Path) -> None:
        """Write `checkpoint.npz` and keep the one before; raise CheckpointNotWritten, the old file intact."""
        groups = {"model": self.model, "average": self.average, "optimizer": self.optimizer}
        arrays = {f"{name}/{i:04d}": array for name, group in groups.items() for i, array in enumerate(group)}
        about = json.dumps({"recipe": self.recipe, "progress": dataclasses.asdict(self.progress)})
        arrays["about"] = np.frombuffer(about.encode(), dtype=np.uint8)

        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]

        replace_file(folder / CHECKPOINT, write, keep=folder / PREVIOUS)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Read `checkpoint.npz`; raise CheckpointCorrupt naming the file and the one before it."""
        path = folder / CHECKPOINT
        try:
            # numpy leaves a file that it opened itself open where it is not a whole archive.
            with path.open("rb") as stream, np.load(stream) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(arrays.pop("about").tobytes())
            progress = Progress(**about["progress"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            reason = str(error) or type(error).__name__
            raise CheckpointCorrupt(
                f"{path} cannot be read ({reason}); to resume from the checkpoint before it, "
                f"rename {PREVIOUS} to {CHECKPOINT}, or start again in another folder"
            ) from error
        groups: dict[str, Variables] = {"model": [], "average": [], "optimizer": []}
        for name in sorted(arrays):
            groups[name.split("/")[0]].append(arrays[name])
        return cls(about["recipe"], progress, **groups)
