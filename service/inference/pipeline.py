"""Bytes to predictions: decode, detect, crop, estimate. Plain synchronous code that a notebook can call."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np

from service.errors import InvalidModelFile, UnknownModel
from service.inference.age_mix import excluded_share, named_mix, stated_for
from service.inference.decoding.decoder import Decode, Decoder, DirectDecoder
from service.inference.decoding.photo import Photo
from service.inference.detection.detector import Detection, FaceDetector, open_detector
from service.inference.detection.search_work import MOST_WORK, search_work
from service.inference.detection.views import SMALLEST, smallest_sought
from service.inference.distribution import AGES, AgeDistribution, Floats
from service.inference.estimator import Estimator
from service.inference.face_warnings import warnings_for, warnings_of_light
from service.inference.faces import AgePrediction, BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid, crop_step, cut_face, exposed, whole_picture
from service.inference.lockfile import LockEntry, ModelLock, default_models_dir, verified_path
from service.inference.manifest import CropSpec, Manifest
from service.inference.options import LEAST_FACE, PredictOptions

VIEWS_CAPPED: Final = "views_capped"
"""Warning of a photograph that is so large that not all of it was searched for the smallest faces."""

DETECTION_SIDE: Final = 720
"""A JPEG is decoded at a reduced scale while its shorter side keeps this many pixels."""


@dataclass(frozen=True, slots=True)
class PhotoPrediction:
    """Results for one photograph of `width` x `height` pixels; faces largest first, times in milliseconds.

    `more_faces`: faces were left out because of `max_faces`; `warnings` are of the photograph, not of a face.
    """

    model: Manifest
    width: int
    height: int
    faces: tuple[AgePrediction, ...]
    timings_ms: Mapping[str, float]
    more_faces: bool = False
    warnings: tuple[str, ...] = ()


def no_checkpoint() -> None:
    """Do nothing: the checkpoint of callers that never stop."""


def load_models(
    models_dir: Path,
    names: Sequence[str] | None = None,
    threads: int = 1,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> dict[str, Estimator]:
    """Load the models `names` (None: those the lock marks as default) after checking their bytes.

    The first is the one that answers by default, if it is among them.

    Raises FileMissing, ChecksumMismatch, InvalidModelFile, or UnknownModel for a name that no locked file carries.
    """
    loaded: dict[str, Estimator] = {}
    for entry in _by_default(models_dir) if names is None else ModelLock.read(models_dir).of_kind("model"):
        if names is not None and not any(entry.file.startswith(name) for name in names):
            continue
        estimator = Estimator(verified_path(models_dir, entry), entry.sha256, threads, providers)
        if names is None or estimator.manifest.name in names:
            loaded[estimator.manifest.name] = estimator
    missing = [name for name in names or () if name not in loaded]
    if missing:
        raise UnknownModel(
            f"models.lock.json has no model named {', '.join(missing)}; it has {', '.join(_names_in(models_dir))}"
        )
    _check_shared_geometry(loaded)
    return loaded


def load_model(
    models_dir: Path,
    name: str | None = None,
    among: Sequence[str] = (),
    threads: int = 1,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Estimator:
    """Load one model: `name`, or the one that answers by default, of those named `among` if any are.

    Raises as `load_models`.
    """
    if name or among:
        return next(iter(load_models(models_dir, [name] if name else among, threads, providers).values()))
    entry = _by_default(models_dir)[0]
    return Estimator(verified_path(models_dir, entry), entry.sha256, threads, providers)


def _by_default(models_dir: Path) -> list[LockEntry]:
    """Return the models that are loaded by default, the one that answers first; raise InvalidModelFile without any."""
    entries = [entry for entry in ModelLock.read(models_dir).of_kind("model") if entry.default]
    if not entries:
        raise InvalidModelFile(
            "models.lock.json names no model to load by default; export one with `agelens-train export`"
        )
    return entries


def _names_in(models_dir: Path) -> list[str]:
    """Return the models' names, read from their files' names so that no file is loaded for a message."""
    return [re.sub(r"(-\d+(\.\d+)*)?\.onnx$", "", entry.file) for entry in ModelLock.read(models_dir).of_kind("model")]


def open_pipeline(
    folder: Path | None = None,
    estimators: Mapping[str, Estimator] | None = None,
    model: str | None = None,
    *,
    detect: bool = True,
    detector: FaceDetector | None = None,
    decoder: Decoder | None = None,
    mixes: Mapping[str, Floats] | None = None,
) -> Pipeline:
    """Make a pipeline with a detector of its own; use it in a `with` block, or close it.

    Args:
        folder: has the detector's files and, where no `estimators` are given, the models; by default the one shipped.
        estimators: loaded models by name, shared with other pipelines.
        model: answers where none is asked for; by default the first.
        detect: False where every picture is a face already cut out; then no detector is loaded.
        detector: finds faces; by default BlazeFace in ONNX Runtime.
        decoder: makes pixels; without one they are made in this process.
        mixes: of ages, float64 [101] by name, that may be asked for as `prior`.

    Raises SetupError or UnknownModel, as `load_models`.
    """
    folder = folder or default_models_dir()
    loaded = estimators or load_models(folder, [model] if model else None)
    detector = detector or (open_detector(folder) if detect else _NoDetector())
    return Pipeline(detector, loaded, model or next(iter(loaded)), decoder, mixes)


class _NoDetector(FaceDetector):
    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:
        del picture, min_size, work
        return Detection(())


class Pipeline:
    """Predicts ages in photographs. Belongs to one thread, as its detector does; estimators are shared."""

    def __init__(
        self,
        detector: FaceDetector,
        estimators: Mapping[str, Estimator],
        default_model: str,
        decoder: Decoder | None = None,
        mixes: Mapping[str, Floats] | None = None,
    ) -> None:
        """Take a detector, the loaded models by name, the one that answers when none is asked for, and a decoder.

        Without one, pictures are decoded in this process. `mixes` of ages, [101] by name, may be asked for as `prior`.
        """
        if default_model not in estimators:
            raise UnknownModel(f"no loaded model is named {default_model}; loaded are {', '.join(estimators)}")
        self._detector = detector
        self._estimators = estimators
        self._default = default_model
        self._decoder = decoder or DirectDecoder()
        self._mixes = mixes

    def close(self) -> None:
        """Free the detector and the decoder; the estimators are shared and stay."""
        self._detector.close()
        self._decoder.close()

    def __enter__(self) -> Self:
        """Use as a context manager that closes at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def predict(
        self,
        data: bytes,
        options: PredictOptions | None = None,
        checkpoint: Callable[[], None] = no_checkpoint,
        max_pixels: int = 50_000_000,
    ) -> PhotoPrediction:
        """Find the faces in an encoded picture and estimate their ages.

        `checkpoint` is called between the stages and raises to stop. Raises PictureError, UnknownModel.
        """
        watch = _Stopwatch()
        with self._decoder.open(data, max_pixels, checkpoint) as decode:
            return self._predict(decode, options or PredictOptions(), checkpoint, watch)

    def _predict(
        self, decode: Decode, options: PredictOptions, checkpoint: Callable[[], None], watch: _Stopwatch
    ) -> PhotoPrediction:
        estimator = self._estimator(options.model)
        spec = estimator.manifest.crop
        mix = None if options.prior is None else named_mix(options.prior, self._mixes)
        with watch.stage("decode"):
            photo = decode(DETECTION_SIDE)
        checkpoint()
        with watch.stage("detect"):
            photo = _fine_enough(decode, photo, options)
            picture = Pyramid(photo.pixels)
            found, warnings = self._faces(photo, picture, spec, options)
            faces = found[: options.max_faces]
        checkpoint()
        with watch.stage("crop"):
            photo, picture, faces = _sharp_enough(decode, photo, picture, faces, spec)
            cuts = [cut_face(picture, face, spec) for face in faces]
            crops = [exposed(cut, spec) for cut in cuts]
        checkpoint()
        with watch.stage("estimate"):
            pmfs = estimator.estimate(np.stack(crops)) if crops else np.empty((0, AGES))
        shown = [_in_photograph(face, photo) for face in faces]
        predictions = tuple(
            _prediction(face, cut, pmf, estimator.manifest, options.interval, photo, mix)
            for face, cut, pmf in zip(shown, cuts, pmfs, strict=True)
        )
        return PhotoPrediction(
            estimator.manifest,
            photo.width,
            photo.height,
            predictions,
            watch.timings_ms(),
            more_faces=len(found) > len(faces),
            warnings=warnings,
        )

    def _estimator(self, name: str | None) -> Estimator:
        try:
            return self._estimators[name or self._default]
        except KeyError:
            raise UnknownModel(f"no loaded model is named {name}; loaded are {', '.join(self._estimators)}") from None

    def _faces(
        self, photo: Photo, picture: Pyramid, spec: CropSpec, options: PredictOptions
    ) -> tuple[list[Face], tuple[str, ...]]:
        """Return the faces that are large enough, largest first, and warnings of the photograph."""
        if not options.detect:
            return [whole_picture(photo, spec)], ()
        asked = options.min_face_size
        sought = smallest_sought(photo.width, photo.height) if asked is None else asked
        found = self._detector.detect(picture, sought * photo.scale, search_work(photo))
        least = (SMALLEST if asked is None else asked) * photo.scale
        faces = [face for face in found.faces if min(face.box.width, face.box.height) >= least]
        return faces, (VIEWS_CAPPED,) if found.capped or _too_coarse(photo, asked) else ()


class _Stopwatch:
    """Adds up milliseconds by stage, and from its making to the end."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._stages[name] = (time.perf_counter() - start) * 1e3

    def timings_ms(self) -> dict[str, float]:
        return {**self._stages, "total": (time.perf_counter() - self._start) * 1e3}


def _fine_enough(decode: Decode, photo: Photo, options: PredictOptions) -> Photo:
    """Decode anew where a caller asks for faces that are too small in a photograph decoded at a reduced scale."""
    asked = options.min_face_size
    if not options.detect or asked is None or not _too_coarse(photo, asked):
        return photo
    finer = decode(math.ceil(LEAST_FACE / asked * min(photo.width, photo.height)))
    return replace(finer, priced_s=finer.priced_s + photo.priced_s / 2)  # at a reduced scale it takes half as long


def _too_coarse(photo: Photo, smallest: float | None) -> bool:
    """Whether faces of so many pixels of the photograph are too small in its reduced decode."""
    return smallest is not None and photo.scale < 0.98 * LEAST_FACE / smallest


def _sharp_enough(
    decode: Decode, photo: Photo, picture: Pyramid, faces: list[Face], spec: CropSpec
) -> tuple[Photo, Pyramid, list[Face]]:
    """Decode again at a finer scale where a crop would be upsampled from a reduced decode."""
    step = min((crop_step(face, spec) for face in faces), default=1.0)
    if photo.scale == 1 or step >= 1:
        return photo, picture, faces
    finer = decode(int(min(photo.pixels.shape[:2]) / step))
    return finer, Pyramid(finer.pixels), [face.scaled(finer.scale / photo.scale) for face in faces]


def _in_photograph(face: Face, photo: Photo) -> Face:
    """Express a face in pixels of the photograph; a whole picture's box is the picture."""
    if not face.landmarks:
        return replace(face, box=BoundingBox(0.0, 0.0, float(photo.width), float(photo.height)))
    return face.scaled(1 / photo.scale)


def _prediction(
    face: Face, cut: Pixels, pmf: Floats, manifest: Manifest, level: float, photo: Photo, mix: Floats | None
) -> AgePrediction:
    distribution = AgeDistribution.of(pmf if mix is None else stated_for(pmf, manifest.mix(), mix))
    age = distribution.median if manifest.decode == "median" else distribution.mean
    interval = distribution.interval(level, manifest.bands(), age)
    excluded = 0.0 if mix is None else excluded_share(pmf, mix)
    warnings = (
        *warnings_for(face, photo.width, photo.height, distribution, interval, excluded),
        *warnings_of_light(cut, manifest.crop),
    )
    return AgePrediction(face, distribution, age, level, interval, warnings)


def _check_shared_geometry(loaded: Mapping[str, Estimator]) -> None:
    """Raise unless all models use the same crop (its size aside): faces are detected and cropped once for all."""
    first, *others = loaded.values()
    for other in others:
        if other.manifest.crop.geometry() != first.manifest.crop.geometry():
            raise InvalidModelFile(
                f"models {first.manifest.name} and {other.manifest.name} were trained on different crops; "
                "load one of them (in the service: AGELENS_MODELS)"
            )
