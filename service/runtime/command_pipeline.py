"""The pipeline of `agelens predict`, and of each worker of `agelens score`: one model, and no process to decode in."""

from __future__ import annotations

from service.inference.age_mix import mixes_in
from service.inference.decoding.decoder import DirectDecoder
from service.inference.detection.detector import open_detector
from service.inference.options import PredictOptions
from service.inference.pipeline import Pipeline, load_model, open_pipeline
from service.settings import Settings


def open_command_pipeline(settings: Settings, options: PredictOptions, threads: int = 1) -> Pipeline:
    """Load the model that answers `options`, and a detector if they ask for one; raise SetupError or UnknownModel."""
    folder, wanted = settings.models_folder, options.model or settings.default_model
    estimator = load_model(folder, wanted, settings.models, threads, settings.providers)
    return open_pipeline(
        folder,
        {estimator.manifest.name: estimator},
        detect=options.detect,
        detector=open_detector(folder, settings.detector, max_views=settings.max_views) if options.detect else None,
        decoder=DirectDecoder(settings.decode_limits),
        mixes=mixes_in(settings.priors),
    )
