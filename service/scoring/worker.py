"""Turns a chunk of photographs into a part: the one class that processes, threads and Ray's actors all run."""

from __future__ import annotations

from service.errors import RequestError
from service.scoring.job import Chunk, Fault, Item, Job, Tally
from service.scoring.parts import write_part
from service.scoring.rows import ERROR, NO_FACE, Row, failure, rows_of
from service.scoring.storage import pictures


class Scorer:
    """Scores chunks, each in one go; belongs to one thread, as its pipeline does."""

    def __init__(self, job: Job) -> None:
        """Open the job's pipeline."""
        self._job = job
        self._pipeline = job.open_pipeline(job.settings, job.options)

    def __call__(self, chunk: Chunk) -> Tally:
        """Score a chunk's photographs, write its part, and count; an error of one photograph is a row of its own."""
        columns = zip(chunk["ids"], chunk["paths"], chunk["data"], chunk["faults"], strict=True)
        items = [Item(ident, path, data, Fault(*fault) if fault else None) for ident, path, data, fault in columns]
        rows: list[Row] = []
        for item, data in pictures(items):
            rows += self._rows(item.id, data)
        job = self._job
        write_part(job.output / chunk["part"], rows, job.format, job.options.thresholds)
        statuses = [row["status"] for row in rows]
        empty, failures = statuses.count(NO_FACE), statuses.count(ERROR)
        return Tally(pictures=len(items), faces=len(rows) - empty - failures, empty=empty, failures=failures)

    def _rows(self, ident: str, data: bytes | OSError | Fault) -> list[Row]:
        if isinstance(data, OSError | Fault):
            return [failure(ident, data)]
        try:
            prediction = self._pipeline.predict(data, self._job.options, max_pixels=self._job.settings.max_pixels)
        except RequestError:  # what was asked for is wrong, and so for every photograph
            raise
        except Exception as error:  # a million photographs must not fail for one
            return [failure(ident, error)]
        return list(rows_of(ident, prediction, self._job.options))
