"""The OpenAPI document: FastAPI's, with the problem document and the API keys written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.api.schemas import ProblemReply
from service.settings import Settings

_OPEN_PATHS = ("/health", "/metrics")


def describe(app: FastAPI, settings: Settings, *, keys_required: bool, models: Sequence[str]) -> dict[str, Any]:
    """Return the document of `app`, valid OpenAPI 3.1, with the loaded models' names and the settings' limits."""
    known = _known_values(settings, models)
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    schemas["ProblemReply"] = ProblemReply.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _drop_foreign_errors(operation)
            operation["summary"] = operation.pop("description").rstrip(".")
            for parameter in operation.get("parameters", ()):
                _say_exactly(parameter, known)
            if keys_required and not path.startswith(_OPEN_PATHS):
                operation["security"] = [{"ApiKey": []}, {"Bearer": []}]
    if keys_required:
        document["components"]["securitySchemes"] = {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
    return document


def _known_values(settings: Settings, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what only this running service knows of the query's parameters."""
    return {
        "model": {"enum": list(models)} if models else {},
        "max_faces": {"maximum": settings.max_faces, "default": settings.max_faces},
        "min_face_size": {} if settings.min_face_size is None else {"default": settings.min_face_size},
    }


def _say_exactly(parameter: dict[str, Any], known: Mapping[str, dict[str, Any]]) -> None:
    """Take out `null`, which no query can say, and put in what is known of the parameter's values."""
    schema = parameter["schema"]
    for choice in schema.pop("anyOf", []):
        if choice != {"type": "null"}:
            schema.update(choice)
    schema.update(known.get(parameter["name"], {}))


def _drop_foreign_errors(operation: dict[str, Any]) -> None:
    """Take out FastAPI's own description of 422, whose shape this service never answers with."""
    for status, response in list(operation["responses"].items()):
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith("/HTTPValidationError"):
            del operation["responses"][status]
