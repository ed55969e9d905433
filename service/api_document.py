"""The OpenAPI document: FastAPI's, with the problem document and the API keys written in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.schemas import ProblemReply

_OPEN_PATHS = ("/health", "/metrics")


def describe(app: FastAPI, *, keys_required: bool, models: Sequence[str]) -> dict[str, Any]:
    """Return the document of `app`, valid OpenAPI 3.1, with the names of the loaded models."""
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
            for parameter in operation.get("parameters", ()):
                _say_exactly(parameter, models)
            if keys_required and not path.startswith(_OPEN_PATHS):
                operation["security"] = [{"ApiKey": []}, {"Bearer": []}]
    if keys_required:
        document["components"]["securitySchemes"] = {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
    return document


def _say_exactly(parameter: dict[str, Any], models: Sequence[str]) -> None:
    """Take out `null`, which no query can say, and name the models that can be asked for."""
    choices = parameter["schema"].pop("anyOf", [])
    for choice in choices:
        if choice != {"type": "null"}:
            parameter["schema"].update(choice)
    if parameter["name"] == "model" and models:
        parameter["schema"] = {"type": "string", "enum": list(models)}


def _drop_foreign_errors(operation: dict[str, Any]) -> None:
    """Take out FastAPI's own description of 422, whose shape this service never answers with."""
    for status, response in list(operation["responses"].items()):
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith("/HTTPValidationError"):
            del operation["responses"][status]
