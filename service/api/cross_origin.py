"""Answers pages of other origins that ask first; what is not allowed is refused with a problem document."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from service.api.middleware import request_id_of
from service.api.problems import problem_of
from service.errors import AccessError


class CrossOrigin(CORSMiddleware):
    """Starlette's middleware, whose own refusal is plain text."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Say what the other origin may send, or which part of its question is not allowed."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        reason = bytes(answer.body).decode().removeprefix("Disallowed CORS ")
        error = AccessError(
            f"a page of {request_headers['origin']} may not ask this: wrong {reason}; "
            "AGELENS_CORS_ORIGINS lists the origins, GET and POST are the methods"
        )
        refusal = problem_of(error, request_id_of(request_headers), "").response()
        for name in ("access-control-allow-origin", "vary"):
            if name in answer.headers:
                refusal.headers[name] = answer.headers[name]
        return refusal
