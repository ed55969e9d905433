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
from service.inference.detector import open_detector
from service.inference.lockfile import default_models_dir
from service.inference.pipeline import Pipeline, PredictOptions, load_models

THRESHOLDS = (18, 25)


def ask() -> dict[str, Any]:
    """Return the reply of /predict?thresholds=18,25 about the portrait that scikit-image ships."""
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "JPEG", quality=95)
    folder = default_models_dir()
    models = load_models(folder, None)
    pipeline = Pipeline(open_detector(folder), models, next(iter(models)))
    prediction = pipeline.predict(buffer.getvalue(), PredictOptions(thresholds=THRESHOLDS))
    reply: dict[str, Any] = json.loads(PredictReply.of(prediction, THRESHOLDS, new_request_id()).model_dump_json())
    return reply


if __name__ == "__main__":
    REPLY.write_text(json.dumps(ask(), indent=1) + "\n")
