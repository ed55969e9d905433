"""Prometheus metrics of one app, in a registry of its own."""

from __future__ import annotations

from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.inference.manifest import Manifest
from service.inference.options import DEFAULT_LEVEL, PredictOptions
from service.inference.pipeline import PhotoPrediction
from service.runtime.upload_budget import UploadBudget
from service.runtime.worker_pool import WorkerPool

EXPOSITION: Final = CONTENT_TYPE_LATEST
STAGES: Final = ("decode", "detect", "crop", "estimate")
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_YEARS: Final = tuple(float(age) for age in range(5, 101, 5))
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The service's Prometheus metrics; there is one process, so none are added up over workers."""

    def __init__(self) -> None:
        """Register all metrics, so that all exist at the first scrape."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Counter("http_requests", "Requests answered", ["method", "route", "status"], registry=registry)
        self.durations = Histogram(
            "http_request_duration_seconds",
            "Time from a request's head to its answer",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("http_requests_in_flight", "Requests being answered", registry=registry)
        self.stages = {
            stage: Histogram(f"agelens_{stage}_seconds", f"Time to {stage}", buckets=_SECONDS, registry=registry)
            for stage in STAGES
        }
        self.queue_seconds = Histogram(
            "agelens_queue_seconds", "Time a picture waited in the queue", buckets=_SECONDS, registry=registry
        )
        self.rejected = Counter("agelens_rejected", "Requests or pictures refused", ["reason"], registry=registry)
        self.pictures = Counter("agelens_pictures", "Pictures answered", registry=registry)
        self.faces = Counter("agelens_faces", "Faces returned", registry=registry)
        self.faceless = Counter("agelens_pictures_without_face", "Pictures without a face", registry=registry)
        self.ages = Histogram(
            "agelens_predicted_age_years",
            "Predicted ages of requests without a prior, for detecting drift",
            ["model"],
            buckets=_YEARS,
            registry=registry,
        )
        self.widths = Histogram(
            "agelens_interval_width_years",
            "Width of the default interval of requests without a prior, for detecting drift",
            ["model"],
            buckets=_YEARS,
            registry=registry,
        )
        self.model_info = Gauge(
            "agelens_model_info",
            "1 for each loaded model",
            ["name", "version", "family", "precision", "sha256"],
            registry=registry,
        )

    def watch(self, pool: WorkerPool[Any, Any], uploads: UploadBudget) -> None:
        """Read the queue and the number of arriving bodies at each scrape."""
        for name, meaning, read in (
            ("agelens_queue_depth", "Pictures waiting for a thread", lambda: pool.waiting),
            ("agelens_pictures_in_flight", "Pictures being processed", lambda: pool.running),
            ("agelens_bodies_arriving", "Request bodies being received", lambda: uploads.receiving),
            ("agelens_threads", "Worker threads", lambda: pool.threads),
            (
                "agelens_queue_capacity",
                "Most pictures admitted at once, waiting or being processed",
                lambda: pool.capacity,
            ),
        ):
            Gauge(name, meaning, registry=self.registry).set_function(read)

    def saw_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request; unknown methods count as `other`, to keep the labels few."""
        known = method if method in _METHODS else "other"
        self.requests.labels(known, route, str(status)).inc()
        self.durations.labels(known, route).observe(seconds)

    def saw_prediction(self, prediction: PhotoPrediction, options: PredictOptions, waited_s: float) -> None:
        """Count one picture that was answered after `waited_s` seconds in the queue.

        Ages and widths are those of the model alone: answers for a mix of ages or a level of the caller's are left out.
        """
        self.queue_seconds.observe(waited_s)
        for stage, histogram in self.stages.items():
            histogram.observe(prediction.timings_ms.get(stage, 0.0) / 1000)
        self.pictures.inc()
        self.faces.inc(len(prediction.faces))
        if not prediction.faces:
            self.faceless.inc()
        if options.prior is not None:
            return
        name = prediction.model.name
        for face in prediction.faces:
            self.ages.labels(name).observe(face.age)
            if options.interval == DEFAULT_LEVEL:
                low, high = face.interval
                self.widths.labels(name).observe(high - low + 1)

    def saw_model(self, manifest: Manifest, sha256: str) -> None:
        """Record a loaded model."""
        facts = (manifest.name, manifest.version, manifest.family, manifest.precision, sha256)
        self.model_info.labels(*facts).set(1)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
