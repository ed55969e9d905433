"""What a run tells the outside while it trains: metrics, the configuration, pictures."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import wandb
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from service.inference.faces import Pixels
from training.recipes.recipe import Recipe
from training.revision import revision


class Tracker:
    """Where metrics and pictures go; this one forgets them. Steps count over the whole run."""

    def begin(self, recipe: Recipe, step: int) -> None:
        """Note the configuration of a run that starts, or goes on, at `step`."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Note numbers at a step."""

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Note a picture, uint8 [h, w, 3], at a step."""

    def close(self) -> None:
        """Write out what is held back."""


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

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line for each value."""
        new = not self.path.exists()
        with self.path.open("a") as stream:
            if new:
                stream.write("step,name,value\n")
            stream.writelines(f"{step},{name},{value:.6g}\n" for name, value in values.items())


class TensorBoardTracker(Tracker):
    """Scalars, pictures and the configuration in one event file a sitting."""

    def __init__(self, folder: Path) -> None:
        """Open a new event file in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self.records = RecordWriter((folder / name).open("wb"))
        self._write(file_version="brain.Event:2")

    def begin(self, recipe: Recipe, step: int) -> None:
        """Note recipe and commit as text."""
        self._text(step, "recipe", f"```\n{recipe.to_json()}```")
        self._text(step, "commit", revision())

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Note numbers at a step."""
        entries = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=entries))

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Note a picture, uint8 [h, w, 3], as PNG."""
        _, png = cv2.imencode(".png", pixels[..., ::-1])
        height, width = pixels.shape[:2]
        picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png.tobytes())
        self._write(step=step, summary=Summary(value=[Summary.Value(tag=name, image=picture)]))
        self.records.flush()

    def close(self) -> None:
        """Write out what is held back."""
        self.records.close()

    def _text(self, step: int, name: str, text: str) -> None:
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        self._write(step=step, summary=Summary(value=[Summary.Value(tag=name, metadata=metadata, tensor=tensor)]))

    def _write(self, **fields: Any) -> None:
        self.records.write(Event(wall_time=time.time(), **fields).SerializeToString())


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
