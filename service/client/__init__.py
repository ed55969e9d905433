"""Python clients of the HTTP API, sync and async; replies are the models of `service.api.schemas`.

with Client("http://localhost:8000") as client:
    for face in client.predict("family.jpg", thresholds=[18]).faces:
        print(face.age, face.interval, face.at_least["18"])
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self

import httpx

from service.api.schemas import BatchReply, ModelReply, ModelsReply, PredictReply
from service.client.protocol import (
    ClientError,
    InvalidOption,
    Outcome,
    PhotoSource,
    Reply,
    Retry,
    ServiceProblem,
    ServiceUnreachable,
    UnexpectedReply,
    http_options,
    parse_reply,
    part_of,
    query_of,
)

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "InvalidOption",
    "PhotoSource",
    "Retry",
    "ServiceProblem",
    "ServiceUnreachable",
    "UnexpectedReply",
]


class Client:
    """A synchronous client, safe to share between threads; close it or use it in a `with` block."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
        **httpx_options: Any,
    ) -> None:
        """Connect to `base_url`; `httpx_options`, such as `verify` or `proxy`, are passed to `httpx.Client`."""
        self._http = httpx.Client(**http_options(base_url, api_key, timeout_s, httpx_options))
        self._retry = retry or Retry()
        self._sleep = sleep

    def predict(self, photo: PhotoSource, **options: Any) -> PredictReply:
        """Estimate the ages in one photograph; `options` are those of `PredictOptions`, such as `thresholds=[18]`.

        Raises InvalidOption, ServiceProblem, ServiceUnreachable or UnexpectedReply, all of which are ClientError; and
        OSError if the file cannot be read.
        """
        return self._ask("POST", "/v1/predict", PredictReply, params=query_of(options), files={"file": part_of(photo)})

    def predict_batch(self, photos: Iterable[PhotoSource], **options: Any) -> BatchReply:
        """Return one result for each photograph, in order; one that is damaged fails alone. Raises as predict."""
        files = [("files", part_of(photo)) for photo in photos]
        return self._ask("POST", "/v1/predict/batch", BatchReply, params=query_of(options), files=files)

    def models(self) -> list[ModelReply]:
        """Return the loaded models. Raises as predict."""
        return self._ask("GET", "/v1/models", ModelsReply).models

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def _ask(self, method: str, path: str, reply: type[Reply], **body: Any) -> Reply:
        request = self._http.build_request(method, path, **body)
        request.read()  # kept, so that it can be sent again
        attempt = 1
        while True:
            try:
                outcome: Outcome = self._http.send(request)
            except httpx.RequestError as error:
                outcome = error
            wait_s = self._retry.wait_s(attempt, outcome)
            if wait_s is None:
                return parse_reply(outcome, reply)
            self._sleep(wait_s)
            attempt += 1


class AsyncClient:
    """An asynchronous client; close it or use it in an `async with` block."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retry: Retry | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **httpx_options: Any,
    ) -> None:
        """Connect to `base_url`; `httpx_options` are passed to `httpx.AsyncClient`."""
        self._http = httpx.AsyncClient(**http_options(base_url, api_key, timeout_s, httpx_options))
        self._retry = retry or Retry()
        self._sleep = sleep

    async def predict(self, photo: PhotoSource, **options: Any) -> PredictReply:
        """Estimate the ages in one photograph. Raises as Client.predict."""
        files = {"file": part_of(photo)}
        return await self._ask("POST", "/v1/predict", PredictReply, params=query_of(options), files=files)

    async def predict_batch(self, photos: Iterable[PhotoSource], **options: Any) -> BatchReply:
        """Return one result for each photograph, in order. Raises as Client.predict."""
        files = [("files", part_of(photo)) for photo in photos]
        return await self._ask("POST", "/v1/predict/batch", BatchReply, params=query_of(options), files=files)

    async def models(self) -> list[ModelReply]:
        """Return the loaded models. Raises as Client.predict."""
        return (await self._ask("GET", "/v1/models", ModelsReply)).models

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def _ask(self, method: str, path: str, reply: type[Reply], **body: Any) -> Reply:
        request = self._http.build_request(method, path, **body)
        await request.aread()  # kept, so that it can be sent again
        attempt = 1
        while True:
            try:
                outcome: Outcome = await self._http.send(request)
            except httpx.RequestError as error:
                outcome = error
            wait_s = self._retry.wait_s(attempt, outcome)
            if wait_s is None:
                return parse_reply(outcome, reply)
            await self._sleep(wait_s)
            attempt += 1
