"""Train twenty steps on from an earlier run and print the losses as JSON: `python -m tests.training.twenty_steps`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras

from tests.training.tiny_run import Memory, tiny_recipe
from training.data.augment import Augmentation
from training.data.store import FaceStore
from training.fit.launch import use_all_devices
from training.fit.train import train
from training.recipes.recipe import Stage


def main(store: str, start: str) -> None:
    """Print backend, devices and the first twenty losses; `start` is the folder of the run to begin with."""
    devices = len(keras.distribution.list_devices()) if keras.backend.backend() == "jax" else 1
    if devices > 1:
        use_all_devices()
    stages = (Stage("all", 1, 5e-3, warmup_steps=2), Stage("mixed", 2, 5e-3, warmup_steps=2, mixing=0.5))
    recipe = tiny_recipe(stages=stages, weights=start, augmentation=Augmentation())
    memory = Memory()
    with TemporaryDirectory() as run:
        train(recipe, [FaceStore.open(Path(store))], Path(run), tracker=memory)
    print(json.dumps({"backend": keras.backend.backend(), "devices": devices, "losses": memory.values["loss"][:20]}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
