"""The clients' requests, replies and retries, without any input or output."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from service.api.schemas import ProblemReply
from service.inference.options import PredictOptions, explain
from service.printable import as_utf8

PhotoSource = Path | str | bytes | BinaryIO
"""A path, the bytes of an encoded picture, or a file opened in binary mode."""

Reply = TypeVar("Reply", bound=BaseModel)
Outcome = httpx.Response | httpx.RequestError
"""What a request led to: a response, or the reason why there is none that can be read."""

_NOT_ARRIVED: Final = (
    httpx.NetworkError,
    httpx.ProxyError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.RemoteProtocolError,
)
"""No connection was to be had, or it broke; the other time-outs are of a service that has the request."""

_ASK_AGAIN: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class ClientError(Exception):
    """Base class of the clients' exceptions."""


class InvalidOption(ClientError, ValueError):
    """An option or the address is wrong, so nothing was sent; the message says what would be right."""


class ServiceUnreachable(ClientError):
    """There was no response: wrong address, service not running, or network failure."""


class UnexpectedReply(ClientError):
    """The reply does not have the form that this version of agelens expects."""


class ServiceProblem(ClientError):
    """The service replied with an error; `problem` is the problem document."""

    def __init__(self, problem: ProblemReply, retry_after_s: float | None = None) -> None:
        """Keep the document, and the value of `Retry-After` in seconds."""
        super().__init__(f"{problem.title} ({problem.status}): {problem.detail}")
        self.problem = problem
        self.retry_after_s = retry_after_s

    @property
    def kind(self) -> str:
        """The last part of the problem's type, as `corrupt-picture`."""
        return self.problem.type.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry policy: after 429 and 503 wait as long as `Retry-After` says, otherwise with exponential backoff.

    A request that had no answer is sent again if no connection was made or it broke, but not if the service has it and
    does not answer in time: it may still be at the picture, and more of the same would not make it faster.
    """

    attempts: int = 4
    longest_wait_s: float = 30.0
    first_wait_s: float = 0.5

    def wait_s(self, attempt: int, outcome: Outcome) -> float | None:
        """Return the seconds to wait before attempt number `attempt` + 1, or None to give up.

        Up to a tenth is added at random (jitter), so that clients refused together do not retry together.
        """
        if attempt >= self.attempts:
            return None
        wait = self.first_wait_s * 2 ** (attempt - 1)
        if isinstance(outcome, httpx.Response):
            if outcome.status_code not in _ASK_AGAIN:
                return None
            asked = retry_after_s(outcome)
            wait = wait if asked is None else asked
        elif not isinstance(outcome, _NOT_ARRIVED):
            return None
        return None if wait > self.longest_wait_s else wait * random.uniform(1.0, 1.1)  # noqa: S311 - no secret


def query_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query parameters for options of `PredictOptions`; those not given are left to the service.

    Raises InvalidOption naming an option that is not known or out of range.
    """
    try:
        return PredictOptions(**options).model_dump(mode="json", exclude_unset=True, exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidOption(explain(first, PredictOptions.model_fields)) from None


def part_of(photo: PhotoSource) -> tuple[str, bytes]:
    """Return file name and bytes of a photograph for a multipart form."""
    if isinstance(photo, bytes):
        return "photo", photo
    if isinstance(photo, str | Path):
        path = Path(photo)
        return as_utf8(path.name), path.read_bytes()
    return as_utf8(Path(str(getattr(photo, "name", "photo"))).name), photo.read()


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the `Retry-After` header, a number or a date (RFC 9110, section 10.2.3), in seconds."""
    header = response.headers.get("Retry-After")
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def parse_reply(outcome: Outcome, reply: type[Reply]) -> Reply:
    """Return the typed reply; raise ServiceProblem, ServiceUnreachable or UnexpectedReply."""
    url = outcome.request.url.copy_with(query=None, userinfo=b"")
    if isinstance(outcome, httpx.DecodingError):
        raise UnexpectedReply(f"the answer from {url} is damaged: {outcome}") from outcome
    if isinstance(outcome, httpx.RequestError):
        raise ServiceUnreachable(f"no answer from {url}: {str(outcome) or type(outcome).__name__}") from outcome
    if outcome.is_redirect:
        raise UnexpectedReply(f"{url} redirects to {_without_secrets(outcome)}; give the client the right address")
    if not outcome.is_success:
        raise ServiceProblem(_problem(outcome), retry_after_s(outcome))
    try:
        return reply.model_validate_json(outcome.content)
    except ValidationError as error:
        raise UnexpectedReply(
            "this version of agelens cannot read the service's reply; install the version that the service runs"
        ) from error


def _without_secrets(redirect: httpx.Response) -> str:
    try:
        return str(redirect.url.join(redirect.headers["Location"]).copy_with(userinfo=b"", query=None))
    except (KeyError, httpx.InvalidURL):
        return f"no address that can be read (status {redirect.status_code})"


def _problem(response: httpx.Response) -> ProblemReply:
    try:
        return ProblemReply.model_validate_json(response.content)
    except ValidationError:  # a gateway answers in its own way
        return ProblemReply(
            type="about:blank",
            title=response.reason_phrase or "Error",
            status=response.status_code,
            detail="the response is not a problem document; a gateway in front of the service may have sent it",
            request_id=response.headers.get("X-Request-ID", ""),
        )


def http_options(base_url: str, api_key: str | None, timeout_s: float, extra: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for an httpx client; raise InvalidOption for an address that is not HTTP, or a wrong key."""
    try:
        is_http = httpx.URL(base_url).scheme in ("http", "https")
    except httpx.InvalidURL:
        is_http = False
    if not is_http:
        raise InvalidOption(f"{base_url} is not an address of the service; write it as http://localhost:8000")
    key = (api_key or "").strip()  # a key that was read from a file may end with a line feed
    if not key.isprintable():
        raise InvalidOption("the API key has a line feed or another character in it that no header can have")
    own = {b"Accept": b"application/json"} | ({b"X-API-Key": key.encode()} if key else {})
    headers = httpx.Headers(extra.get("headers"))
    headers.update(own)
    return {"base_url": base_url, "timeout": timeout_s, **extra, "headers": headers}
