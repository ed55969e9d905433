"""What every peer serves: the pipeline that `agelens serve` runs, and the same reply."""

from __future__ import annotations

from service.api.schemas import PredictReply
from service.inference.options import PredictOptions
from service.runtime.loading import load
from service.runtime.state import Predictor
from service.settings import load_settings


def open_pipeline() -> Predictor:
    """Load and warm the default model and a detector."""
    return load(load_settings(threads=1)).make_predictor()


def answer(pipeline: Predictor, picture: bytes) -> PredictReply:
    """Predict and build the reply."""
    prediction = pipeline.predict(picture, PredictOptions(), lambda: None, 50_000_000)
    return PredictReply.of(prediction, PredictOptions(), "request")
