"""TensorBoard's event files, written without TensorFlow, so that every backend can."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from service.types import Pixels
from training.config import Recipe
from training.revision import revision
from training.tracking import Tracker


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
