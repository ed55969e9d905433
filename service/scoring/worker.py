"""Turns a chunk of photographs into a part: the one class that processes, threads and Ray's actors all run."""

from __future__ import annotations

from service.errors import PictureError
from service.inference.detector import Detection, open_detector
from service.inference.imaging import Pyramid
from service.inference.lockfile import default_models_dir
from service.inference.pipeline import Pipeline, load_models
from service.scoring.job import Chunk, Item, Job, OpenPipeline, Tally
from service.scoring.parts import write_part
from service.scoring.rows import ERROR, NO_FACE, Row, failure, rows_of
from service.scoring.storage import pictures


class NoDetector:
    """Stands where photographs are faces already cut out, and nothing is looked for."""

    def detect(self, picture: Pyramid, min_size: float | None = None) -> Detection:
        """Return nothing."""
        del picture, min_size
        return Detection(())

    def close(self) -> None:
        """Hold nothing, free nothing."""


def open_pipeline(job: Job) -> Pipeline:
    """Load the job's model, and a detector if one is needed; raise SetupError or UnknownModel."""
    folder = job.models_dir or default_models_dir()
    estimators = load_models(folder, [job.options.model] if job.options.model else None, 1, job.providers)
    default = job.options.model or next(iter(estimators))
    if not job.options.detect:
        return Pipeline(NoDetector(), estimators, default)
    return Pipeline(open_detector(folder), estimators, default)


class Scorer:
    """Scores chunks, each in one go; belongs to one thread, as its pipeline does."""

    def __init__(self, job: Job, pipeline: OpenPipeline = open_pipeline) -> None:
        """Open the pipeline."""
        self._job = job
        self._pipeline = pipeline(job)

    def __call__(self, chunk: Chunk) -> Tally:
        """Score a chunk's photographs, write its part, and count; an error of one photograph is a row of its own."""
        items = [Item(*each) for each in zip(chunk["ids"], chunk["paths"], chunk["data"], strict=True)]
        rows: list[Row] = []
        for item, data in pictures(items):
            rows += self._rows(item.id, data)
        job = self._job
        write_part(job.output / chunk["part"], rows, job.format, job.options.thresholds)
        statuses = [row["status"] for row in rows]
        empty, failures = statuses.count(NO_FACE), statuses.count(ERROR)
        return Tally(
            part=chunk["part"],
            pictures=len(items),
            faces=len(rows) - empty - failures,
            empty=empty,
            failures=failures,
        )

    def _rows(self, ident: str, data: bytes | OSError) -> list[Row]:
        if isinstance(data, OSError):
            return [failure(ident, data)]
        try:
            prediction = self._pipeline.predict(data, self._job.options, max_pixels=self._job.max_pixels)
        except PictureError as error:
            return [failure(ident, error)]
        except Exception as error:  # a million photographs must not fail for one
            return [failure(ident, error)]
        return list(rows_of(ident, prediction, self._job.options.thresholds))
