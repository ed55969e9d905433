"""Batch replies: one result for each picture, as JSON or as JSON lines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.dependencies import cancel_on_disconnect
from service.api.problems import problem_of
from service.api.schemas import BatchItem, BatchReply, BatchSummary, PredictReply, ProblemReply
from service.api.uploads import Upload
from service.errors import ClientDisconnected
from service.inference.options import PredictOptions
from service.inference.pipeline import PhotoPrediction
from service.runtime.state import Predictor, ServiceState
from service.runtime.worker_pool import Results

log: Final = structlog.stdlib.get_logger("agelens.batch")

BatchResults = Results[Predictor, PhotoPrediction]


class Batch:
    """The results of an admitted batch, as they complete."""

    def __init__(
        self,
        state: ServiceState,
        results: BatchResults,
        uploads: Iterable[Upload],
        options: PredictOptions,
        request_id: str,
        key: str | None,
    ) -> None:
        """Keep the file names of `uploads`; their bytes are not needed here."""
        self._key = key
        self._state = state
        self._results = results
        self._names = [upload.filename for upload in uploads]
        self._options = options
        self._request_id = request_id
        self._ok = self._errors = self._faces = 0

    @property
    def summary(self) -> BatchSummary:
        """Counts of the results yielded so far."""
        total = self._ok + self._errors
        return BatchSummary(total=total, ok=self._ok, errors=self._errors, faces=self._faces)

    async def items(self) -> AsyncIterator[BatchItem]:
        """Yield each picture's result as it completes."""
        async for index in self._results.completed():
            yield self._item(index)

    async def reply(self) -> BatchReply:
        """Return all results, in the order of the request."""
        results = sorted([item async for item in self.items()], key=lambda item: item.index)
        return BatchReply(request_id=self._request_id, results=results, summary=self.summary)

    def _item(self, index: int) -> BatchItem:
        name = self._names[index]
        try:
            prediction = self._results.outcome(index)
        except ClientDisconnected:
            raise
        except Exception as error:  # one bad picture fails alone
            problem = problem_of(error, self._request_id)
            if problem.kind.status == 500:
                log.exception("picture_failed", index=index)
            self._state.metrics.rejected.labels(problem.kind.slug).inc()
            self._errors += 1
            reply = ProblemReply.model_validate(problem.document())
            return BatchItem(index=index, filename=name, status="error", error=reply)
        self._ok += 1
        self._faces += len(prediction.faces)
        self._state.saw(prediction, self._options, self._results.waited_s(index), self._key)
        reply_of = PredictReply.of(prediction, self._options, self._request_id)
        return BatchItem(index=index, filename=name, status="ok", prediction=reply_of)


class JsonLines(Response):
    """A streaming response of JSON lines: each result as it completes, then the summary; closes `stack` at the end."""

    media_type = "application/x-ndjson"

    def __init__(self, batch: Batch, stack: AsyncExitStack, give_up: Callable[[], None]) -> None:
        """Take ownership of `stack`, which holds the uploaded bytes and the places in the queue."""
        super().__init__()
        del self.headers["content-length"]
        self._batch = batch
        self._stack = stack
        self._give_up = give_up

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines until all are sent or the client disconnects."""
        async with self._stack, cancel_on_disconnect(receive, self._give_up):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                async for item in self._batch.items():
                    await _send_line(send, item.model_dump_json(exclude_unset=True))
            except ClientDisconnected:
                return
            await _send_line(send, json.dumps({"summary": self._batch.summary.model_dump()}))
            await send({"type": "http.response.body", "body": b""})


async def _send_line(send: Send, line: str) -> None:
    await send({"type": "http.response.body", "body": line.encode() + b"\n", "more_body": True})
