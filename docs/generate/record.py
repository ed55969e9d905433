"""Keeps the shipped model's reply about NASA's portrait for the documents: `python -m docs.generate.record`."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image
from skimage.data import astronaut

from docs.generate.replies import REPLY
from service.api.middleware import new_request_id
from service.api.schemas import PredictReply
from service.inference.options import PredictOptions
from service.inference.pipeline import open_pipeline

OPTIONS = PredictOptions(thresholds=(18, 25))


def ask() -> dict[str, Any]:
    """Return the reply of /predict?thresholds=18,25 about the portrait, as `make serve` fetches it for who has none."""
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    with open_pipeline() as pipeline:
        prediction = pipeline.predict(buffer.getvalue(), OPTIONS)
    reply: dict[str, Any] = json.loads(PredictReply.of(prediction, OPTIONS, new_request_id()).model_dump_json())
    return reply


if __name__ == "__main__":
    REPLY.write_text(json.dumps(ask(), indent=1) + "\n")
