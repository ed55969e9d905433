"""The state of a running service: loaded models, metrics, and whether it is starting, ready or draining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

import structlog

from service.errors import AgelensError, NotReady, UnknownModel
from service.inference.age_mix import named_mix
from service.inference.distribution import Floats
from service.inference.manifest import Manifest
from service.inference.options import PredictOptions
from service.inference.pipeline import PhotoPrediction
from service.runtime.access import KeyRing, RateLimit, pictures_worth
from service.runtime.admission import Checkpoint
from service.runtime.metrics import Metrics
from service.runtime.tracing import Tracer, open_tracer
from service.runtime.upload_budget import UploadBudget
from service.runtime.worker_pool import WorkerPool
from service.settings import Settings

log: Final = structlog.stdlib.get_logger("agelens.runtime")


class Predictor(Protocol):
    """What a worker thread predicts with: `service.inference.pipeline.Pipeline` or a double of it."""

    def predict(
        self, data: bytes, options: PredictOptions | None, checkpoint: Checkpoint, max_pixels: int
    ) -> PhotoPrediction:
        """Find the faces in a picture's bytes and estimate their ages, asking `checkpoint` between the stages."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(self, *_: object) -> None:
        """Free its native resources; its thread ends."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model's manifest, the sha256 of its file, and its share of the most faces that a picture may have, up to 1."""

    manifest: Manifest
    sha256: str
    faces_share: float

    def most_faces(self, limit: int) -> int:
        """Return how many faces of one picture it answers for, where the service returns at most `limit`."""
        return max(1, int(limit * self.faces_share))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The loaded models by name, the default's name, what makes a thread's predictor, and mixes of ages by name."""

    models: Mapping[str, LoadedModel]
    default_model: str
    make_predictor: Callable[[], Predictor]
    mixes: Mapping[str, Floats] = field(default_factory=dict)


Load = Callable[[Settings], Loaded]


class ServiceState:
    """Owns the parts of one app while it starts, serves, drains and stops."""

    def __init__(self, settings: Settings, load: Load) -> None:
        """Set up what needs no model; raise InvalidSetting for keys or traces that cannot be used."""
        self.settings = settings
        self.metrics = Metrics()
        self.tracer: Tracer = open_tracer(settings.traces)
        self.keys = KeyRing(settings.api_keys, settings.api_keys_file)
        self.rates = RateLimit(settings.rate_limit_per_minute)
        self.upload_budget = UploadBudget(settings.max_buffered_bytes, settings.body_timeout_s)
        self.loaded: Loaded | None = None
        self.draining = False
        self.failure: Exception | None = None
        self.settled = asyncio.Event()
        self._load = load
        self.pool: WorkerPool[Predictor, PhotoPrediction] = WorkerPool(
            self._make_predictor, threads=settings.threads, queue_size=settings.queue_size
        )
        self.metrics.watch(self.pool, self.upload_budget)

    async def start(self) -> None:
        """Load everything and admit pictures, or keep the error in `failure`; set `settled` in both cases."""
        try:
            await self._start()
        except Exception as error:  # outermost: log it and never become ready
            expected = isinstance(error, AgelensError)
            log.critical("start_failed", reason=str(error), exc_info=not expected)
            self.failure = error
        finally:
            self.settled.set()

    async def _start(self) -> None:
        self.loaded = loaded = await asyncio.to_thread(self._load, self.settings)
        await self.pool.start()
        for model in loaded.models.values():
            self.metrics.saw_model(model.manifest, model.sha256)
        if self.draining:
            self.pool.close()
        log.info("ready", models=sorted(loaded.models), default=loaded.default_model, threads=self.pool.threads)

    def drain(self) -> None:
        """Report not ready and admit nothing more, but finish accepted pictures. Safe in a signal handler."""
        self.draining = True
        self.pool.close()

    async def finish(self, grace_s: float, enough: Callable[[], bool]) -> bool:
        """Wait up to `grace_s` seconds, less if `enough()`; return whether all accepted pictures were answered."""
        self.upload_budget.drain()
        until = asyncio.get_running_loop().time() + grace_s
        while self.pool.waiting + self.pool.running and not enough():
            if asyncio.get_running_loop().time() >= until:
                log.warning("drain_timed_out", waiting=self.pool.waiting, running=self.pool.running)
                return False
            await asyncio.sleep(0.02)
        return not enough()

    def saw(
        self, prediction: PhotoPrediction, options: PredictOptions, waited_s: float, key: str | None = None
    ) -> None:
        """Count an answered picture, trace its stages, and charge `key` for a picture that counts as several."""
        worth = pictures_worth(prediction.width * prediction.height, len(prediction.faces))
        self.rates.charge(key, worth - 1)
        self.metrics.saw_prediction(prediction, options, waited_s)
        self.tracer.stages({"queue": waited_s * 1e3, **prediction.timings_ms})

    @property
    def started(self) -> bool:
        """Whether all models were loaded and warmed up."""
        return self.pool.started

    def complaint(self) -> str | None:
        """Say why the service is not ready, or return None."""
        if self.draining:
            return "the service is shutting down"
        if self.failure:
            return "the models could not be loaded"
        if not self.started:
            return "the models are being loaded"
        return self.pool.complaint(self.settings.stuck_after_s)

    def require_models(self) -> Loaded:
        """Return the loaded models; raise NotReady before they are loaded."""
        if self.loaded is None:
            raise NotReady("the models are being loaded", retry_after_s=1)
        return self.loaded

    def require_model(self, name: str | None) -> LoadedModel:
        """Return the model of this name, or the default one without a name; raise UnknownModel for any other."""
        loaded = self.require_models()
        if (model := loaded.models.get(loaded.default_model if name is None else name)) is None:
            raise UnknownModel(f"no model of this name is loaded; loaded models: {', '.join(sorted(loaded.models))}")
        return model

    def require_prior(self, prior: str | None) -> None:
        """Raise InvalidParameter for a mix of ages that is not known."""
        if prior is not None:
            named_mix(prior, self.require_models().mixes)

    def _make_predictor(self) -> Predictor:
        return self.require_models().make_predictor()
