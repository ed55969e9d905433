"""Map every error to a problem document (RFC 9457); the only module that knows HTTP statuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service import errors
from service.errors import AgelensError
from service.inference.options import PredictOptions, explain

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A problem type: its status, the last part of its URN, and its title."""

    status: int
    slug: str
    title: str

    @property
    def type(self) -> str:
        """The `type` member, a URN."""
        return f"urn:agelens:problem:{self.slug}"


KINDS: Final[Mapping[type[Exception], Kind]] = {
    errors.AgelensError: Kind(500, "internal", "Internal error"),
    errors.PictureError: Kind(422, "picture", "Picture cannot be used"),
    errors.UnsupportedPicture: Kind(415, "unsupported-picture", "Unsupported picture format"),
    errors.EmptyPicture: Kind(422, "empty-picture", "Picture is empty"),
    errors.CorruptPicture: Kind(422, "corrupt-picture", "Picture is truncated or damaged"),
    errors.PictureTooLarge: Kind(413, "picture-too-large", "Picture takes too much to decode"),
    errors.RequestError: Kind(400, "request", "Request cannot be answered"),
    errors.InvalidParameter: Kind(422, "invalid-parameter", "Invalid parameter"),
    errors.UnknownModel: Kind(422, "unknown-model", "Unknown model"),
    errors.UnknownResource: Kind(404, "not-found", "Not found"),
    errors.BodyTooLarge: Kind(413, "body-too-large", "Body is too large"),
    errors.BodyTooSlow: Kind(408, "body-too-slow", "Request did not arrive in time"),
    errors.MalformedBody: Kind(400, "malformed-body", "Body is malformed"),
    errors.UnsupportedBody: Kind(415, "unsupported-body", "Unsupported content type"),
    errors.NotAcceptable: Kind(406, "not-acceptable", "No acceptable media type"),
    errors.AccessError: Kind(403, "access", "Access refused"),
    errors.KeyRejected: Kind(401, "key-rejected", "API key is missing or invalid"),
    errors.RateExceeded: Kind(429, "rate-exceeded", "Too many requests with this API key"),
    errors.AvailabilityError: Kind(503, "unavailable", "Service is not available now"),
    errors.QueueFull: Kind(503, "queue-full", "Queue is full"),
    errors.DeadlineExceeded: Kind(504, "deadline-exceeded", "Deadline has passed"),
    errors.NotReady: Kind(503, "not-ready", "Service is not ready"),
    errors.ClientDisconnected: Kind(499, "caller-gone", "Client disconnected"),
    errors.SetupError: Kind(500, "setup", "Installation is wrong"),
    errors.InvalidSetting: Kind(500, "setting-wrong", "A setting is wrong"),
    errors.FileMissing: Kind(500, "file-missing", "A file is missing"),
    errors.ChecksumMismatch: Kind(500, "file-altered", "A file was altered"),
    errors.InvalidModelFile: Kind(500, "contract-broken", "A model file breaks the contract"),
}
"""One entry for each error class; a test fails for a class that has none."""

PLAIN: Final = {
    400: Kind(400, "bad-request", "Bad request"),
    404: KINDS[errors.UnknownResource],
    405: Kind(405, "method-not-allowed", "Method not allowed"),
    408: KINDS[errors.BodyTooSlow],
    416: Kind(416, "range-not-satisfiable", "Range lies outside the file"),
    431: Kind(431, "head-too-large", "Request head is too large"),
    500: KINDS[errors.AgelensError],
    501: Kind(501, "http", "Method or Transfer-Encoding is not supported"),
    503: KINDS[errors.AvailabilityError],
    505: Kind(505, "http", "HTTP version is not supported"),
}
"""Problem types of what the framework or the server itself refuses, by status."""
_INTERNAL_DETAIL: Final = "the service failed on this request; its log has the reason under this request_id"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document and its response headers."""

    kind: Kind
    detail: str
    request_id: str
    instance: str | None = None
    headers: Mapping[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """Return the members of the document, without `instance` if there is none."""
        members = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": self.instance,
            "request_id": self.request_id,
        }
        return {name: value for name, value in members.items() if value is not None}

    def response(self) -> Response:
        """Return the document as an HTTP response."""
        content = json.dumps(self.document(), ensure_ascii=False).encode()
        return Response(content, self.kind.status, headers=self.headers, media_type=MEDIA_TYPE)


def problem_of(error: Exception, request_id: str, instance: str | None = None) -> Problem:
    """Map an exception to a problem document; unexpected ones become a 500 without details."""
    if isinstance(error, RequestValidationError):
        error = _invalid_parameter(error)
    if isinstance(error, AgelensError):
        return _of_domain(error, request_id, instance)
    if isinstance(error, HTTPException):
        return plain_problem(error.status_code, _said(error), request_id, instance, error.headers)
    return Problem(PLAIN[500], _INTERNAL_DETAIL, request_id, instance)


def plain_problem(
    status: int, detail: str, request_id: str, instance: str | None = None, headers: Mapping[str, str] | None = None
) -> Problem:
    """Return the problem for a status that the framework or the server chose."""
    return Problem(PLAIN.get(status, PLAIN[500]), detail, request_id, instance, headers)


def _said(error: HTTPException) -> str:
    """Return the detail, or what would be right where the framework only repeats the status."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    allowed = (error.headers or {}).get("Allow")
    if error.status_code == 405 and allowed:
        return f"this address takes {allowed}; pictures are sent by POST to /v1/predict"
    if error.status_code == 404:
        return "there is nothing at this address; pictures are sent by POST to /v1/predict, probes to /health/ready"
    return str(error.detail)


def _invalid_parameter(error: RequestValidationError) -> errors.InvalidParameter:
    first = error.errors()[0]
    place, *loc = first["loc"]
    return errors.InvalidParameter(explain({**first, "loc": loc}, PredictOptions.model_fields, f"{{}} in the {place}"))


def _of_domain(error: AgelensError, request_id: str, instance: str | None) -> Problem:
    kind = KINDS[type(error)]
    detail = _INTERNAL_DETAIL if kind.status == 500 else str(error)
    headers = {}
    if isinstance(error, errors.AvailabilityError | errors.AccessError) and kind.status in (429, 503):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    if isinstance(error, errors.KeyRejected):
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(kind, detail, request_id, instance, headers)


def documented(*kinds: type[AgelensError]) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI response descriptions, by status, for the errors that a route can raise."""
    titles: dict[int, list[str]] = {}
    for error in kinds:
        kind = KINDS[error]
        titles.setdefault(kind.status, []).append(kind.title)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemReply"}}}
    return {status: {"description": "; ".join(names), "content": content} for status, names in sorted(titles.items())}
