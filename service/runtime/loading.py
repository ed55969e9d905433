"""Load the models that the settings name: verify, build and warm them up."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import cv2
import numpy as np
from PIL import Image

from service.errors import InvalidSetting, PictureError, UnknownModel
from service.inference.age_mix import mixes_in
from service.inference.decoding.decoder import Decoder
from service.inference.detection.detector import FaceDetector, open_detector
from service.inference.distribution import Floats
from service.inference.estimator import Estimator
from service.inference.pipeline import Pipeline, load_models
from service.runtime.decode_budget import open_decoders
from service.runtime.native import return_free_memory, return_large_buffers
from service.runtime.state import Loaded, LoadedModel
from service.settings import Settings

_WARM_UP_SIDE: Final = 640


def load(settings: Settings) -> Loaded:
    """Load the models that `settings` name; raise SetupError naming the wrong file or setting and the remedy."""
    cv2.setNumThreads(1)  # parallelism comes from requests; OpenCV's own pool would fight with the worker threads
    return_large_buffers()
    folder = settings.models_folder
    try:
        estimators = load_models(folder, settings.models or None, settings.intra_op_threads, settings.providers)
        mixes = mixes_in(settings.priors)
    except UnknownModel as error:
        raise InvalidSetting(f"AGELENS_MODELS: {error}") from error
    default = settings.default_model or next(iter(estimators))
    if default not in estimators:
        loaded = ", ".join(sorted(estimators))
        raise InvalidSetting(f"AGELENS_DEFAULT_MODEL names {default}, which is not loaded; loaded are {loaded}")
    return_free_memory()
    for estimator in estimators.values():
        estimator.warm_up()
    models = {name: LoadedModel(each.manifest, each.sha256, each.faces_share) for name, each in estimators.items()}
    decoder = open_decoders(settings.decode_limits)
    detector = partial(open_detector, folder, settings.detector, max_views=settings.max_views)
    return Loaded(models, default, partial(_warm_pipeline, estimators, default, detector, decoder, mixes), mixes)


def _warm_pipeline(
    estimators: Mapping[str, Estimator],
    default: str,
    detector: Callable[[], FaceDetector],
    decoder: Callable[[], Decoder],
    mixes: Mapping[str, Floats],
) -> Pipeline:
    """Make a pipeline for one thread, with its own detector and decoder, and run it once."""
    pipeline = Pipeline(detector(), estimators, default, decoder(), mixes)
    try:
        pipeline.predict(_grey_picture())
    except PictureError as error:
        raise InvalidSetting(
            "AGELENS_MAX_DECODE_S or AGELENS_MAX_DECODE_MB is too low: a grey JPEG of "
            f"{_WARM_UP_SIDE} x {_WARM_UP_SIDE} pixels is refused already ({error})"
        ) from error
    return pipeline


def _grey_picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((_WARM_UP_SIDE, _WARM_UP_SIDE, 3), 128, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()
